"""system df adds up to what du says; ps -s and inspect -s say what a container has written."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pyrun.store import owner

if TYPE_CHECKING:
    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue

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
