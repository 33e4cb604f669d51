"""SIGKILL at system calls of a `load`: what shows is whole, a second load brings the rest, nothing else is left."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from pyrun.engine import images, rmi
from pyrun.engine.image_inspect import image_inspect
from pyrun.store.sweep import sweep
from tests.integration.test_load import BASE, NAMES, OTHER, TOP, do
from tests.integration.test_load import layout as layout  # the fixture
from tests.support import archives
from tests.support.features import ROOT, requires
from tests.support.killing import INSTANTS, spread, stepped
from tests.support.registry_hostile import digest_of
from tests.support.store_images import FORM, contents, directories, read_layer

if TYPE_CHECKING:
    from pathlib import Path

    from pyrun.store.layout import Layout

pytestmark = requires("native")

PROGRAM = """
import sys
from pyrun.engine.load import load
from pyrun.layers import pyrun_tree
from pyrun.store.layout import Layout
root, runtime, path, form = sys.argv[1:]
load(Layout(root, runtime), path, form=form, spawn=pyrun_tree.spawn_here)
"""
# Packed, an archive is read as a pipe is: kept below tmp/ first.
ARCHIVES = {
    "file": archives.tar(archives.podman(*NAMES)),
    "pipe": archives.PACKERS["gzip"](archives.tar(archives.layout(*NAMES))),
}
# Before that is Python's start, which touches nothing. The client's threads are `helper` too, as pyrun-tree is.
STARTS = {"client": 0.6, "helper": 0.0}
VICTIMS = "client,helper"


def step(layout: Layout, archive: Path, role: str, when: int) -> dict[str, int]:
    """Load and kill all of it at the WHEN-th call of a role; return how many calls each has made."""
    out = archive.with_suffix(".json")
    program = [sys.executable, "-c", PROGRAM, layout.root, layout.runtime, str(archive), FORM]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    found = stepped(out, role, when, VICTIMS, layout.root, program, environment=environment)
    if found["killed"]:
        INSTANTS.add(("load", f"{archive.name}: {role}", str(when), VICTIMS))
    calls: dict[str, int] = found["calls"]
    return calls


def check(layout: Layout, archive: Path, empty: object) -> None:
    for image in images.list_images(layout):
        image_inspect(layout, image.id, form=FORM)
    shown = {image.id for image in images.list_images(layout)}
    assert shown in (set(), {digest_of(image.config) for image, _ in NAMES}), "all tags at once"
    assert sweep(layout) == []
    for place in (layout.tmp, layout.trash, layout.leases):
        assert os.listdir(place) == []
    do(layout, archive)
    for tar, name in ((BASE, "etc/name"), (TOP, "etc/top"), (OTHER, "etc/other")):
        assert read_layer(layout, digest_of(tar), name)
    remove(layout)
    assert (contents(layout).keys(), directories(layout)) == empty


def remove(layout: Layout) -> None:
    for _, names in NAMES:
        for name in names:
            rmi.remove_image(layout, name)


def kill(layout: Layout, archive: Path, count: int, starts: dict[str, float]) -> None:
    do(layout, archive)
    remove(layout)
    empty = contents(layout).keys(), directories(layout)
    calls = step(layout, archive, "client", 0)
    check(layout, archive, empty)
    # Threads take turns as they like: the last calls of one run may not come in the next.
    for role in ("client", "helper"):
        for when in spread(count, calls[role] * 95 // 100, starts[role]):
            step(layout, archive, role, when)
            check(layout, archive, empty)


def test_killed(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "pipe").write_bytes(ARCHIVES["pipe"])
    kill(layout, tmp_path / "pipe", 1, {"client": 0.9, "helper": 0.6})


@pytest.mark.full
@pytest.mark.parametrize("way", ARCHIVES)
def test_killed_at_many_calls(layout: Layout, tmp_path: Path, way: str) -> None:
    (tmp_path / way).write_bytes(ARCHIVES[way])
    kill(layout, tmp_path / way, 60, STARTS)
