"""system df adds up to what du says; ps -s and inspect -s say what a container has written."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pyrun.store import owner
from tests.support import archives
from tests.support.store_images import Image, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
# Directories that only another id may enter count as well; so does a file of two names, once.
WRITE = "head -c 3000000 /dev/zero > /f; ln /f /g; mkdir -m 700 /d; head -c 900000 /f > /d/h; chown -R 5:5 /d"


def number(words: str) -> float:
    text = words.split(" ")[0]
    unit = text.lstrip("0123456789.e+")
    return float(text.removesuffix(unit)) * UNITS[unit]


def test_df_adds_up_to_what_du_says(box: Box, images: Catalogue) -> None:
    box.pyrun.ok("pull", "-q", images.rich)
    box.start("one", "-v", "vol:/v", command=("sh", "-c", f"{WRITE}; cp /f /v"))
    box.pyrun.ok("wait", "one")
    box.start("two")
    box.pyrun.ok("volume", "create", "idle")
    rows = {row["Type"]: row for row in map(json.loads, box.pyrun.ok("system", "df", "--format", "json").splitlines())}
    du = ["unshare", "--map-root-user", "--map-auto", "du", "-s", "--block-size=1", str(box.pyrun.root)]
    told = int(subprocess.run(du, capture_output=True, text=True, check=True).stdout.split()[0])
    assert sum(number(row["Size"]) for row in rows.values()) == pytest.approx(told, rel=0.01)
    counts = {kind: (row["TotalCount"], row["Active"]) for kind, row in rows.items()}
    assert counts == {
        "Images": ("2", "1"), "Containers": ("2", "1"), "Local Volumes": ("2", "1"), "Build Cache": ("0", "0"),
    }  # fmt: skip
    assert number(rows["Containers"]["Size"]) >= 3_900_000
    assert rows["Containers"]["Reclaimable"].endswith("%)")
    assert number(rows["Containers"]["Reclaimable"]) >= 3_900_000
    assert number(rows["Local Volumes"]["Reclaimable"]) < 100_000
    table = box.pyrun.ok("system", "df").splitlines()
    assert table[0] == "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE"
    assert len(table) == 5
    whole = box.pyrun.ok("system", "df", "-v")
    for heading in ("Images space usage:", "Containers space usage:", "Local Volumes space usage:", "VOLUME NAME"):
        assert heading in whole
    form = "{{range .Volumes}}{{.Name}}={{.Links}} {{end}}"
    assert sorted(box.pyrun.ok("system", "df", "-v", "--format", form).split()) == ["idle=0", "vol=1"]
    # A template gets whole ids, as docker's.
    ids = box.pyrun.ok("system", "df", "-v", "--format", "{{range .Containers}}{{println .ID}}{{end}}").split()
    assert sorted(ids) == sorted(box.pyrun.ok("ps", "-aq", "--no-trunc").split())


def told_and_true(pyrun: CommandLine) -> tuple[float, int]:
    """Return what `system df` adds up to, and what du(1) says."""
    rows = map(json.loads, pyrun.ok("system", "df", "--format", "json").splitlines())
    du = ["unshare", "--map-root-user", "--map-auto", "du", "-s", "--block-size=1", str(pyrun.root)]
    whole = int(subprocess.run(du, capture_output=True, text=True, check=True).stdout.split()[0])
    return sum(number(row["Size"]) for row in rows), whole


@pytest.mark.full
def test_a_layer_of_ten_images_is_there_once(box: Box, tmp_path: Path) -> None:
    """And all adds up to what du says after each verb that changes something, a quarantine and a half pull included."""
    pyrun, layer = box.pyrun, tar_of(big=os.urandom(2_000_000))
    ten = [(Image(layer, salt=str(place)), [f"localhost/ten:{place}"]) for place in range(10)]
    (tmp_path / "ten").write_bytes(archives.tar(archives.layout(*ten)))
    before = told_and_true(pyrun)[1]
    pyrun.ok("load", "-q", "-i", str(tmp_path / "ten"))
    assert told_and_true(pyrun)[1] - before < 2 * 2_000_000 + 600_000  # packed and unpacked, once each
    assert len([*(pyrun.root / "layers/sha256").iterdir()]) == 2
    images = json.loads(pyrun.ok("system", "df", "-v", "--format", "json"))["Images"]
    shared = [row for row in images if row["Repository"] == "localhost/ten"]
    assert len(shared) == 10
    assert all(number(row["SharedSize"]) > 4_000_000 > 100_000 > number(row["UniqueSize"]) for row in shared)
    quarantine = pyrun.root / "quarantine"
    quarantine.mkdir(exist_ok=True)
    for place in (quarantine / "blob-sha256-x", pyrun.root / f"partial/{'a' * 64}"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(os.urandom(400_000))
    write = "head -c 900000 /dev/urandom > /f"
    for words in (
        ["run", "--name", "one", "--network", "none", box.image, "sh", "-c", write],
        ["commit", "one", "made:1"],
        ["tag", "made:1", "made:2"],
        ["rmi", "localhost/ten:3", "made:1"],
        ["rm", "one"],
    ):
        pyrun.ok(*words)
        told, true = told_and_true(pyrun)
        assert told == pytest.approx(true, rel=0.01), words
    reasons = {
        row["Path"]: row["Reason"] for row in json.loads(pyrun.ok("system", "df", "-v", "--format", "json"))["Store"]
    }
    assert reasons["quarantine"] == "damaged, taken away by `fsck --repair`"
    assert reasons[f"partial/{'a' * 64}"] == "half fetched"


def test_everything_on_the_disk_is_told_with_its_reason(box: Box, images: Catalogue) -> None:
    """Also what a crash has left: unfinished work, a lease, layers and blobs that nothing needs."""
    pyrun, parts = box.pyrun, owner.token().split("-")
    box.start("user")
    pyrun.ok("pull", "-q", images.rich)
    pyrun.ok("rmi", "-f", box.image)  # running: the image stays, without a name
    dead = "-".join([*parts[:4], "1", parts[5]])
    left = {
        f"tmp/{dead}": f"unfinished work of pid {parts[3]} (dead)",
        f"leases/{dead}": f"lease of pid {parts[3]} (dead)",
        f"layers/sha256/{'a' * 64}": "nothing needs it",
        f"oci/blobs/sha256/{'b' * 64}": "nothing needs it",
        "trash/old": "being removed",
    }
    for path in left:
        (pyrun.root / path).write_bytes(os.urandom(50_000))
    lease = pyrun.root / f"leases/{owner.token()}"
    lease.write_text("sha256:" + "b" * 64)
    told = json.loads(pyrun.ok("system", "df", "-v", "--format", "json"))
    reasons = {row["Path"]: row["Reason"] for row in told["Store"]}
    left[f"oci/blobs/sha256/{'b' * 64}"] = f"leased by pid {parts[3]}"
    assert {path: reasons.get(path) for path in left} == left
    assert not [path for path, reason in reasons.items() if "unknown" in reason]
    rows = [*told["Containers"], *told["Volumes"], *told["Store"]]
    images_once = max(number(row["SharedSize"]) for row in told["Images"])
    images_once += sum(number(row["UniqueSize"]) for row in told["Images"])
    du = ["unshare", "--map-root-user", "--map-auto", "du", "-s", "--block-size=1", str(pyrun.root)]
    whole = int(subprocess.run(du, capture_output=True, text=True, check=True).stdout.split()[0])
    assert sum(number(row["Size"]) for row in rows) + images_once == pytest.approx(whole, rel=0.01)
    pyrun.ok("image", "prune", "-f")
    told = json.loads(pyrun.ok("system", "df", "-v", "--format", "json"))
    assert {row["Path"] for row in told["Store"]} & {*left} == {f"oci/blobs/sha256/{'b' * 64}"}
    lease.unlink()
    assert "Total reclaimed space: 53.25kB" in pyrun.ok("image", "prune", "-f")


def test_what_a_container_has_written(box: Box) -> None:
    box.start("one", command=("sh", "-c", WRITE))
    box.pyrun.ok("wait", "one")
    assert box.pyrun.ok("ps", "-a", "--format", "{{.Size}}").startswith("3.9MB (virtual ")
    header, line = box.pyrun.ok("ps", "-as").splitlines()
    assert header.split()[-1] == "SIZE"
    assert "3.9MB (virtual " in line
    own, whole = box.pyrun.ok("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "one").split()
    assert int(own) == 3_900_000
    assert int(whole) > int(own) + 1_000_000
    assert "SizeRw" not in box.inspect("one")
