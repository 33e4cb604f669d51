"""`image prune`, and images that go while others count on them: the bytes are du's, nothing is taken from anybody."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.engine import create, namespace
from pyrun.engine.options import RunOptions
from pyrun.engine.pull import pull
from pyrun.images.resolve import has_layers, load_record
from pyrun.store import index, new_container, owner, trees
from pyrun.store.layout import Layout
from tests.integration.test_kill_instants import instants, under_strace
from tests.integration.test_system_df import number
from tests.support.boxes import push
from tests.support.images import entry, layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")


@pytest.fixture
def layout(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """The box's store, for what is done in this process."""
    for name in ("HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, box.pyrun.environment[name])
    yield Layout.default(environ=box.pyrun.environment)
    trees.register_remover(None)


def du(box: Box) -> int:
    argv = ["unshare", "--map-root-user", "--map-auto", "du", "-s", "--block-size=1", str(box.pyrun.root)]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[0])


def reclaimed(output: str) -> float:
    return number(output.rpartition("Total reclaimed space: ")[2])


def dead_token() -> str:
    parts = owner.token().split("-")
    return "-".join([*parts[:4], "1", parts[5]])


def on_busybox(registry: str, tmp_path: Path, name: str, size: int) -> str:
    """Push busybox with one more layer of this many random bytes."""
    more = layer([entry(f"data/{name}", os.urandom(size))])
    return push(registry, tmp_path, name, {"Labels": {"name": name}}, more)


def test_the_bytes_are_those_that_du_misses(box: Box, images: Catalogue) -> None:
    pyrun = box.pyrun
    pyrun.ok("pull", "-q", images.rich)
    # What a crash has left counts, and goes.
    left = box.pyrun.root / "tmp" / dead_token()
    left.mkdir()
    (left / "half").write_bytes(os.urandom(700_000))
    (box.pyrun.root / "leases" / dead_token()).write_text("sha256:" + "0" * 64 + "\n")
    before = du(box)
    said = pyrun.ok("image", "prune", "-af")
    after = du(box)
    assert before - after > 1_500_000
    assert reclaimed(said) == pytest.approx(before - after, rel=0.01)
    assert f"untagged: {images.rich}" in said
    assert pyrun.ok("images", "-q") == ""
    for part in ("tmp", "leases", "trash", "layers/sha256", "oci/blobs/sha256"):
        assert os.listdir(pyrun.root / part) == [], part


def test_which_images_go(box: Box, registry: str, tmp_path: Path) -> None:
    pyrun = box.pyrun
    one = on_busybox(registry, tmp_path, "one", 1000)
    two = on_busybox(registry, tmp_path, "two", 1000)
    pyrun.ok("pull", "-q", one)
    pyrun.ok("pull", "-q", two)
    box.start("user")
    asked = pyrun("image", "prune", input="n\n")
    assert asked.stdout == ("WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ")
    assert pyrun("image", "prune", "-a", input="").stdout.startswith(
        "WARNING! This will remove all images without at least one container associated to them.\n"
    )
    assert pyrun.ok("image", "prune", "-f") == "Total reclaimed space: 0B"
    # A tag that moves leaves the image of before dangling.
    pyrun.ok("tag", box.image, one)
    assert "Deleted Images:\ndeleted: sha256:" not in pyrun.ok("image", "prune", "-f", "--filter", "label=name=two")
    assert "Deleted Images:\nun" in pyrun.ok("image", "prune", "-f", "--filter", "label=name=one")
    assert pyrun.ok("image", "prune", "-af", "--filter", "until=2001-01-01") == "Total reclaimed space: 0B"
    assert pyrun.ok("image", "prune", "-af", "--filter", "label!=name") == "Total reclaimed space: 0B"
    assert "cannot be both" in pyrun.fails(1, "image", "prune", "-af", "--filter", "dangling=true")
    assert pyrun.ok("image", "prune", "-f", "--filter", "dangling=true") == "Total reclaimed space: 0B"
    unused = ("--filter", "dangling=false", "--filter", "label=name")
    assert f"untagged: {two}" in pyrun.ok("image", "prune", "-f", *unused)
    # The image of the container stays, with all its names.
    assert "untagged" not in pyrun.ok("image", "prune", "-af")
    assert len(pyrun.ok("images", "-q").split()) == 2
    assert "invalid filter 'x'" in pyrun.fails(1, "image", "prune", "-f", "--filter", "x=1")
    pyrun.ok("rm", "-f", "user")


def test_a_layer_that_a_pull_found_is_not_taken_from_it(
    box: Box, layout: Layout, registry: str, tmp_path: Path
) -> None:
    """The pull stands still between "exists" and the names; its only other user goes meanwhile."""
    reference = on_busybox(registry, tmp_path, "more", 100_000)
    met: list[str] = []

    def progress(event: str, what: str, number: int) -> None:
        if event == "exists" and not met:
            met.append(what)
            box.pyrun.ok("rmi", box.image)
            said = box.pyrun.ok("image", "prune", "-af")
            assert "deleted: sha256:" not in said
            assert "more:1" not in box.pyrun.ok("images")

    record = pull(layout, reference, progress=progress).record
    assert met == [record["layers"][0]["digest"]]
    check_images(layout)
    assert box.run(image=reference, command=("ls", "/data/more")) == "/data/more"


def test_the_image_of_a_container_in_the_making_is_not_taken(
    box: Box, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look-up of the image and the container's record: the image's name goes, not what it needs."""
    real = new_container.create_unnamed

    def meanwhile(*arguments: object) -> object:
        assert "Untagged" in box.pyrun.ok("rmi", box.image)
        box.pyrun.ok("image", "prune", "-af")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(new_container, "create_unnamed", meanwhile)
    made = create.create(layout, RunOptions(image=box.image, args=["true"], network="none", pull="never"))
    assert os.listdir(layout.leases) == []
    assert box.pyrun.ok("start", "-a", made.id) == ""
    box.pyrun.ok("rm", made.id)
    assert "deleted: sha256:" in box.pyrun.ok("image", "prune", "-f")


def check_images(layout: Layout) -> None:
    """Every image that is listed is whole: each blob has its digest, each layer is there."""
    for item in index.entries(layout):
        record = load_record(layout, item["digest"])
        assert has_layers(layout, record, namespace.form())
        for digest in [record["manifest"], record["image_id"], *(each["digest"] for each in record["layers"])]:
            data = Path(layout.blob(digest)).read_bytes()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest


# What a verb may answer while others take images away.
LEGITIMATE = (
    "no such image", "conflict:", "no such container", "image is in use", "not found", "no container with name or id",
)  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.full)])
def test_all_at_once(box: Box, layout: Layout, registry: str, tmp_path: Path, seconds: int) -> None:
    references = [on_busybox(registry, tmp_path, f"n{place}", 20_000) for place in range(3)]
    box.start("base")
    verbs = [
        *(("pull", "-q", reference) for reference in references),
        *(("rmi", reference) for reference in references),
        *(("tag", reference, f"moving:{place}") for place, reference in enumerate([*references, *references])),
        ("rmi", "moving:1"),
        ("rmi", "-f", "moving:2"),
        ("image", "prune", "-af"),
        ("image", "prune", "-f"),
        ("commit", "base", "committed:1"),
        ("rmi", "committed:1"),
        *(("run", "--rm", "--network", "none", reference, "true") for reference in references),
        ("run", "--rm", "--network", "none", "--pull", "never", "moving:1", "true"),
    ]
    failures: list[str] = []
    done: list[tuple[str, ...]] = []
    end = time.monotonic() + seconds

    def work(seed: int) -> None:
        chosen = random.Random(seed)
        while time.monotonic() < end and not failures:
            argv = chosen.choice(verbs)
            answer = box.pyrun(*argv)
            done.append(argv)
            if answer.returncode and not any(word in answer.stderr.lower() for word in LEGITIMATE):
                failures.append(f"{' '.join(argv)}: {answer.returncode}: {answer.stderr}")

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, failures[0]
    assert len(done) > seconds
    check_images(layout)
    box.pyrun.ok("rm", "-f", "base")
    box.pyrun.ok("image", "prune", "-af")
    for part in ("tmp", "leases", "trash", "images", "layers/sha256", "oci/blobs/sha256", "containers", "ephemeral"):
        assert os.listdir(box.pyrun.root / part) == [], part


def test_two_tags_at_the_same_instant_are_both_there(box: Box) -> None:
    for turn in range(3):
        started = [box.pyrun.popen("tag", box.image, f"at-once:{turn}-{place}") for place in range(4)]
        assert [process.wait(60) for process in started] == [0] * 4
    assert len(box.pyrun.ok("images", "-q", "at-once").split()) == 12


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("verb", "count"),
    # A few instants of both are in test_killed_verbs.py.
    [pytest.param("rmi", 60, marks=pytest.mark.full), pytest.param("prune", 60, marks=pytest.mark.full)],
)
def test_killed_at_any_call(box: Box, layout: Layout, registry: str, tmp_path: Path, verb: str, count: int) -> None:
    """The store works afterwards, and the next prune leaves no orphan."""
    reference = on_busybox(registry, tmp_path, "victim", 50_000)
    box.start("holder")
    argv = ("rmi", reference) if verb == "rmi" else ("image", "prune", "-af")
    box.pyrun.ok("pull", "-q", reference)
    assert under_strace(box, f"-o {tmp_path}/trace", *argv) == 0
    before = names_on_disk(box)
    for options in instants(tmp_path / "trace", count, 0.6):
        box.pyrun.ok("pull", "-q", reference)
        under_strace(box, options, *argv)
        check_images(layout)
        assert box.run(image=reference, command=("echo", "fine")) == "fine"  # pulled again, if it is gone
        box.pyrun.ok("image", "prune", "-af")
        assert names_on_disk(box) == before, options
    box.pyrun.ok("rm", "-f", "holder")


def names_on_disk(box: Box) -> list[str]:
    places = ("tmp", "leases", "trash", "images", "layers/sha256", "oci/blobs/sha256", "partial")
    return sorted(f"{place}/{name}" for place in places for name in os.listdir(box.pyrun.root / place))


def test_a_layer_of_ten_images_is_on_disk_once(box: Box, registry: str, tmp_path: Path) -> None:
    for place in range(3):
        box.pyrun.ok("pull", "-q", on_busybox(registry, tmp_path, f"s{place}", 1000))
    rows = json.loads(box.pyrun.ok("system", "df", "-v", "--format", "json"))["Images"]
    assert len(rows) == 4
    assert len(os.listdir(box.pyrun.root / "layers/sha256")) == 4
    for row in rows:
        assert number(row["SharedSize"]) > 50 * number(row["UniqueSize"]) or row["Repository"].endswith("busybox")
