"""SIGKILL at chosen system calls of a pull and of a removal: nothing unfinished shows, and all of it is swept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun.engine import images, rmi
from pyrun.engine.image_inspect import image_inspect
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document
from tests.support.store_images import FORM, Image, contents, directories, fetch, new_layout, read_layer, tar_of

TARS = tar_of(etc__one=b"1\n"), tar_of(etc__two=os.urandom(20_000))

PROGRAM = """
import sys
from pyrun.engine import rmi
from pyrun.layers import pyrun_tree
from pyrun.store.layout import Layout
from pyrun.store.version import open_store

verb, root, runtime, reference, form = sys.argv[1:]
layout = Layout(root, runtime)
open_store(layout)
from pyrun.engine.pull import pull

if verb == "pull":
    pull(layout, reference, form=form, spawn=pyrun_tree.spawn_here)
else:
    rmi.remove_image(layout, reference)
"""

# The calls that change the store, each at its first, second, … occurrence in one thread.
POINTS = [
    *(("pull", "rename", when) for when in range(1, 10)),
    *(("pull", "mkdir", when) for when in range(1, 4)),
    *(("pull", "write", when) for when in range(1, 12)),
    *(("pull", "syncfs", when) for when in range(1, 2)),
    *(("pull", "fsync", when) for when in range(1, 2)),
    *(("pull", "unlink", when) for when in range(1, 2)),
    *(("pull", "fcntl", when) for when in range(1, 6)),
    *(("rmi", "rename", when) for when in range(1, 9)),
    *(("rmi", "unlink", when) for when in range(1, 6)),
    *(("rmi", "unlinkat,rmdir", when) for when in range(1, 8)),
    *(("rmi", "fsync", when) for when in range(1, 2)),
]


@pytest.fixture(scope="module")
def reference() -> Iterator[str]:
    image = Image(*TARS)
    with HostileRegistry() as registry:
        registry.on("/v2/x/manifests/1", document(image.manifest)[1])
        for data in (image.config, *image.layers):
            registry.on(f"/v2/x/blobs/{digest_of(data)}", blob(data))
        yield f"{registry.domain}/x:1"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    if shutil.which("strace") is None:
        pytest.skip("strace")
    return new_layout(tmp_path)


def run_and_kill(layout: Layout, verb: str, reference: str, calls: str, when: int) -> int:
    """Run a verb under strace, which kills it at a call; return its exit status."""
    strace = ["strace", "-f", "-qqq", "-o", os.devnull, "-e", f"trace={calls}",
              "-e", f"inject={calls}:signal=KILL:when={when}"]  # fmt: skip
    program = [sys.executable, "-c", PROGRAM, verb, layout.root, layout.runtime, reference, FORM]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([*strace, *program], env=environment, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("verb", "calls", "when"), POINTS)
def test_killed(layout: Layout, reference: str, verb: str, calls: str, when: int) -> None:
    empty = contents(layout).keys(), directories(layout)
    if verb == "rmi":
        fetch(layout, reference)
    run_and_kill(layout, verb, reference, calls, when)
    # Whatever is shown is whole.
    for image in images.list_images(layout):
        image_inspect(layout, image.id, form=FORM)
        for tar, name in zip(TARS, ("etc/one", "etc/two"), strict=True):
            read_layer(layout, digest_of(tar), name)
    assert sweep(layout) == []
    for place in (layout.tmp, layout.trash, layout.leases):
        assert os.listdir(place) == []
    fetch(layout, reference)
    assert read_layer(layout, digest_of(TARS[0]), "etc/one") == b"1\n"
    rmi.remove_image(layout, reference)
    assert (contents(layout).keys(), directories(layout)) == empty


def test_the_points_are_reached(layout: Layout, reference: str) -> None:
    """Else the test above would kill nothing and prove nothing."""
    assert run_and_kill(layout, "pull", reference, "rename", 1) == -9
    assert run_and_kill(layout, "pull", reference, "rename", 60_000) == 0
    assert run_and_kill(layout, "rmi", reference, "rename", 1) == -9
