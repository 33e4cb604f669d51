"""SIGKILL at chosen system calls of a pull and of a removal: nothing unfinished shows, and all of it is swept.

Of a pull at any call of any of its threads and helpers, beside another one too (`support/pull_stepper.py`): what has
come is not fetched again. ``--full`` takes 340 instants, otherwise a few.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import images, rmi
from pyrun.engine.image_inspect import image_inspect
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from tests.support.killing import INSTANTS, spread
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document
from tests.support.store_images import FORM, Image, contents, directories, fetch, new_layout, read_layer, tar_of

TARS = tar_of(etc__one=b"1\n"), tar_of(etc__two=os.urandom(20_000))
BIG = tar_of(big=os.urandom(600_000))  # in three chunks
IMAGE, BESIDE = Image(*TARS, BIG), Image(BIG, TARS[0], tar_of(own=b"mine"))

PROGRAM = """
import sys
from pyrun.engine import rmi
from pyrun.store.layout import Layout
from pyrun.store.version import open_store

root, runtime, reference = sys.argv[1:]
layout = Layout(root, runtime)
open_store(layout)
rmi.remove_image(layout, reference)
"""

# The calls that change the store, each at its first, second, … occurrence in one thread.
POINTS = [
    *(("rename", when) for when in range(1, 9)),
    *(("unlink", when) for when in range(1, 6)),
    *(("unlinkat,rmdir", when) for when in range(1, 8)),
    *(("fsync", when) for when in range(1, 2)),
]


@pytest.fixture(scope="module")
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as found:
        for name, image in (("x", IMAGE), ("beside", BESIDE)):
            found.on(f"/v2/{name}/manifests/1", document(image.manifest)[1])
            for data in (image.config, *image.layers):
                found.on(f"/v2/{name}/blobs/{digest_of(data)}", blob(data))
        yield found


@pytest.fixture(scope="module")
def reference(registry: HostileRegistry) -> str:
    return f"{registry.domain}/x:1"


class Stepping:
    """The process that pulls and kills."""

    def __init__(self) -> None:
        program = [sys.executable, "-m", "tests.support.pull_stepper"]
        self._process = subprocess.Popen(
            program, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def kill(self, layout: Layout, reference: str, when: int) -> dict[str, Any]:
        """Pull, and kill at a system call; 0: never. Returns how many there were."""
        assert self._process.stdin
        assert self._process.stdout
        wanted = {"root": layout.root, "runtime": layout.runtime, "reference": reference, "form": FORM, "when": when}
        print(json.dumps(wanted), file=self._process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def end(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture(scope="module")
def stepping() -> Iterator[Stepping]:
    found = Stepping()
    yield found
    found.end()


def shown_is_whole(layout: Layout) -> None:
    """Whatever is shown can be looked at, and its files are there."""
    for image in images.list_images(layout):
        image_inspect(layout, image.id, form=FORM)
        tars = {digest_of(found.config): found.tars for found in (IMAGE, BESIDE)}[image.id]
        for tar in tars:
            for path in Path(layout.layer(digest_of(tar), FORM), "tree").rglob("*"):
                assert path.is_dir() or path.read_bytes() in tar
            assert Path(layout.layer(digest_of(tar), FORM), "tree").is_dir()


def nothing_is_left(layout: Layout) -> None:
    assert sweep(layout) == []
    for place in (layout.tmp, layout.trash, layout.leases):
        assert os.listdir(place) == []


def pull_the_rest(layout: Layout, registry: HostileRegistry) -> None:
    """Pull again, and see that each layer is asked for from where it had come to."""
    missing = {}
    for data in IMAGE.layers:
        digest = digest_of(data)
        if not os.path.exists(layout.blob(digest)):
            path = layout.partial(digest)
            missing[f"/v2/x/blobs/{digest}"] = os.stat(path).st_size if os.path.exists(path) else 0, len(data)
    registry.seen.clear()
    fetch(layout, f"{registry.domain}/x:1")
    asked = {seen.path: seen.headers.get("range") for seen in registry.asked("blobs") if "x/blobs" in seen.path}
    asked.pop(f"/v2/x/blobs/{digest_of(IMAGE.config)}", None)
    assert asked == {
        path: f"bytes={kept}-{size - 1}" if kept else None for path, (kept, size) in missing.items() if kept < size
    }
    assert os.listdir(layout.partials) == []


def _pull_killed(tmp_path: Path, registry: HostileRegistry, stepping: Stepping, count: int) -> None:
    name = f"{registry.domain}/x:1"
    calls = stepping.kill(new_layout(tmp_path / "whole"), name, 0)
    assert (calls["status"], calls["killed"]) == (0, 0)
    for when in spread(count, calls["calls"]):
        layout = new_layout(tmp_path / str(when))
        empty = set(contents(layout)), directories(layout)
        if stepping.kill(layout, name, when)["killed"]:
            INSTANTS.add(("pull", "any", str(when), "all"))
        shown_is_whole(layout)
        pull_the_rest(layout, registry)
        shown_is_whole(layout)
        nothing_is_left(layout)
        rmi.remove_image(layout, name)
        assert (set(contents(layout)), directories(layout)) == empty
        shutil.rmtree(tmp_path / str(when))


def _pull_killed_beside(tmp_path: Path, registry: HostileRegistry, stepping: Stepping, count: int) -> None:
    """Of two pulls that share layers, in another order, one is killed; the other notices nothing, and loses nothing."""
    first, second = f"{registry.domain}/x:1", f"{registry.domain}/beside:1"
    calls = stepping.kill(new_layout(tmp_path / "whole"), first, 0)["calls"]
    for when in spread(count, calls):
        layout = new_layout(tmp_path / str(when))
        registry.seen.clear()
        process = multiprocessing.get_context("fork").Process(target=fetch, args=(layout, second))
        process.start()
        if stepping.kill(layout, first, when)["killed"]:
            INSTANTS.add(("pull", "any", str(when), "beside another"))
        process.join()
        assert process.exitcode == 0
        shown_is_whole(layout)
        assert digest_of(BESIDE.config) in {image.id for image in images.list_images(layout)}
        pull_the_rest(layout, registry)
        nothing_is_left(layout)
        shutil.rmtree(tmp_path / str(when))


def test_a_pull_is_killed(tmp_path: Path, registry: HostileRegistry, stepping: Stepping) -> None:
    _pull_killed(tmp_path, registry, stepping, 8)


def test_a_pull_is_killed_beside_another(tmp_path: Path, registry: HostileRegistry, stepping: Stepping) -> None:
    _pull_killed_beside(tmp_path, registry, stepping, 5)


@pytest.mark.full
def test_a_pull_is_killed_anywhere(tmp_path: Path, registry: HostileRegistry, stepping: Stepping) -> None:
    _pull_killed(tmp_path, registry, stepping, 220)


@pytest.mark.full
def test_a_pull_is_killed_anywhere_beside_another(
    tmp_path: Path, registry: HostileRegistry, stepping: Stepping
) -> None:
    _pull_killed_beside(tmp_path, registry, stepping, 120)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    if shutil.which("strace") is None:
        pytest.skip("strace")
    return new_layout(tmp_path)


def remove_and_kill(layout: Layout, reference: str, calls: str, when: int) -> int:
    """Remove an image under strace, which kills that at a call; return its exit status."""
    strace = ["strace", "-f", "-qqq", "-o", os.devnull, "-e", f"trace={calls}",
              "-e", f"inject={calls}:signal=KILL:when={when}"]  # fmt: skip
    program = [sys.executable, "-c", PROGRAM, layout.root, layout.runtime, reference]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([*strace, *program], env=environment, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("calls", "when"), POINTS)
def test_a_removal_is_killed(layout: Layout, reference: str, calls: str, when: int) -> None:
    empty = contents(layout).keys(), directories(layout)
    fetch(layout, reference)
    remove_and_kill(layout, reference, calls, when)
    shown_is_whole(layout)
    nothing_is_left(layout)
    fetch(layout, reference)
    assert read_layer(layout, digest_of(TARS[0]), "etc/one") == b"1\n"
    rmi.remove_image(layout, reference)
    assert (contents(layout).keys(), directories(layout)) == empty


def test_the_points_are_reached(layout: Layout, reference: str) -> None:
    """Else the test above would kill nothing and prove nothing."""
    fetch(layout, reference)
    assert remove_and_kill(layout, reference, "rename", 60_000) == 0
    fetch(layout, reference)
    assert remove_and_kill(layout, reference, "rename", 1) == -9
