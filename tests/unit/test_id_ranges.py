"""Ranges of ids: disjoint, reused, free again when their container and its maker are gone."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from pyrun.engine import auto_map, idmap
from pyrun.errors import FeatureMissingError, InvalidInputError, UnsupportedFlagError
from pyrun.runtime.engine_ns import EngineMap
from pyrun.store import id_ranges
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from pyrun.store.version import open_store

FULL = EngineMap(65537, "0 1000 1\n1 100000 65536", "0 1000 1\n1 100000 65536", "x", "x")
SINGLE = EngineMap(1, "0 1000 1", "0 1000 1", None, None)
ROOT = EngineMap(0, "", "", None, None)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    open_store(made)
    return made


def container(layout: Layout, name: str) -> str:
    directory = layout.container(name)
    os.mkdir(directory)
    return directory


def ends(names: list[str]) -> list[tuple[int, int]]:
    return sorted((int(name.split("-")[0]), sum(int(word) for word in name.split("-"))) for name in names)


def test_ranges_are_disjoint_and_below_nobody(layout: Layout) -> None:
    names = [id_ranges.take(layout, container(layout, f"c{i}"), size, 65537) for i, size in enumerate([1024, 5000, 7])]
    assert names[0] == "64510-1024"
    found = ends(names)
    assert all(low[1] <= high[0] for low, high in pairwise(found))
    assert found[-1][1] <= 65534


def test_a_gap_is_filled_and_the_end_is_said(layout: Layout) -> None:
    directories = [container(layout, f"c{i}") for i in range(3)]
    names = [id_ranges.take(layout, directory, 20000, 65537) for directory in directories]
    assert id_ranges.take(layout, container(layout, "d"), 20000, 65537) == ""
    id_ranges.release(layout, names[1], directories[0])
    assert id_ranges.take(layout, layout.container("e"), 20000, 65537) == "", "another's range is not given back"
    id_ranges.release(layout, names[1], directories[1])
    assert id_ranges.take(layout, layout.container("e"), 20000, 65537) == names[1]


def test_who_is_making_a_container_keeps_its_range(layout: Layout) -> None:
    directory = layout.container("later")  # not there yet
    name = id_ranges.take(layout, directory, 100, 65537)
    sweep(layout)
    assert os.path.lexists(layout.id_range(name))
    id_ranges.settle(layout, name, directory)
    sweep(layout)
    assert not os.path.lexists(layout.id_range(name)), "made, and gone again"


def test_a_dead_maker_does_not(layout: Layout) -> None:
    with ProcessPoolExecutor(1) as pool:
        name = pool.submit(id_ranges.take, layout_of(layout), layout.container("x"), 100, 65537).result()
    assert os.path.lexists(layout.id_range(name))
    assert id_ranges.take(layout, container(layout, "y"), 100, 65537) == name


def layout_of(layout: Layout) -> Layout:
    return Layout(layout.root, layout.runtime)


def test_many_at_once_get_different_ones(layout: Layout) -> None:
    directories = [container(layout, f"c{i}") for i in range(40)]
    with ProcessPoolExecutor(8) as pool:
        names = list(pool.map(id_ranges.take, [layout] * 40, directories, [1024] * 40, [65537] * 40))
    assert len(set(names)) == 40
    assert "" not in names


class Reads:
    """Stands in for a view of an image."""

    def __init__(self, **files: str) -> None:
        self.files = files

    def read(self, path: str, limit: int) -> bytes | None:
        text = self.files.get(path.rpartition("/")[2])
        return None if text is None else text.encode()


class Somebody:
    def __init__(self, uid: int, gid: int = 0) -> None:
        self.uid, self.gid = uid, gid
        self.groups: list[int] = []


@pytest.mark.parametrize(
    ("files", "uid", "size"),
    [
        ({}, 0, 1024),
        ({"passwd": "a:x:2000:3000::/:\nnobody:x:65534:65534::/:\n", "group": "nogroup:x:65534:\n"}, 0, 3001),
        ({"group": "big:x:5000:\nbad:x:y:\nshort\n"}, 0, 5001),
        ({}, 4000, 4001),
    ],
)
def test_the_size_is_what_the_image_names(layout: Layout, files: dict[str, str], uid: int, size: int) -> None:
    with auto_map.Range(layout, container(layout, "c")) as taken:
        made = taken.map("auto", FULL, Reads(**files), Somebody(uid))  # type: ignore[arg-type]
    assert made.uids == [(0, 65534 - size, size)]
    assert made.uids == made.gids
    assert made.form == f"shift-{65534 - size}-{size}"


def test_a_container_that_fails_leaves_no_range(layout: Layout) -> None:
    def fail() -> None:
        with auto_map.Range(layout, layout.container("c")) as taken:
            taken.map("auto:size=5", FULL, Reads(), Somebody(0))  # type: ignore[arg-type]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert os.listdir(layout.id_ranges) == []


@pytest.mark.parametrize(
    "text", ["auto:size=", "auto:size=0", "auto:size=x", "auto:size=-1", "auto:x=1", "auto:size=5"]
)
def test_bad_options(layout: Layout, text: str) -> None:
    with pytest.raises(InvalidInputError), auto_map.Range(layout, layout.container("c")) as taken:
        taken.map(text, FULL, Reads(), Somebody(5))  # type: ignore[arg-type]


def test_explicit_mappings_are_not_there_yet(layout: Layout) -> None:
    with pytest.raises(UnsupportedFlagError), auto_map.Range(layout, layout.container("c")) as taken:
        taken.map("auto:uidmapping=0:1:1", FULL, Reads(), Somebody(0))  # type: ignore[arg-type]


def test_nomap_has_all_subordinate_ids_and_not_the_user() -> None:
    made = idmap.decide("nomap", FULL, 0, 0)
    assert (made.uids, made.gids, made.form) == ([(0, 1, 65536)], [(0, 1, 65536)], "shift-1-65536")


@pytest.mark.parametrize("engine", [SINGLE, ROOT, EngineMap(3, "0 1 1\n1 5 1\n2 9 1", "0 1 1\n1 5 2", "x", "x")])
def test_nomap_needs_one_range_of_subordinate_ids(engine: EngineMap) -> None:
    with pytest.raises(FeatureMissingError):
        idmap.decide("nomap", engine, 0, 0)


def test_keep_id_as_somebody_else() -> None:
    made = idmap.decide("keep-id:uid=200,gid=210", FULL, 0, 0)
    assert made.uids[:2] == [(0, 1, 200), (200, 0, 1)]
    assert made.gids[:2] == [(0, 1, 210), (210, 0, 1)]
    assert made.form == "keep-200-210"


@pytest.mark.parametrize("text", ["keep-id:uid=x", "keep-id:size=1", "keep-id:uid=-1", "nomap:1", "host:", "nonsense"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        idmap.decide(text, FULL, 0, 0)
