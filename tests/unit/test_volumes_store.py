"""Volumes on disk: made whole, found, refused while in use, filled at most once; sources of mounts."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from pyrun.errors import ConflictError, InvalidInputError, VolumeNotFoundError
from pyrun.oci import json
from pyrun.store import fsio
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from pyrun.store.version import open_store
from pyrun.volumes import sources, store
from pyrun.volumes.mount_option import parse_mount
from pyrun.volumes.spec import parse_tmpfs, parse_volume


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    open_store(layout)
    return layout


def entries(layout: Layout) -> list[str]:
    return os.listdir(layout.tmp) + os.listdir(layout.trash)


def add_container(layout: Layout, container_id: str, volume: str) -> None:
    os.mkdir(layout.container(container_id))
    mounts = [{"type": "volume", "name": volume, "source": "", "destination": "/d", "mode": "", "rw": True}]
    Path(layout.container(container_id), "container.json").write_text(json.dumps({"mounts": mounts}))


def test_named_volume_is_made_once(layout: Layout) -> None:
    assert store.ensure(layout, "data", labels={"a": "b"}) == "data"
    Path(store.data_path(layout, "data"), "file").write_text("kept")
    assert store.ensure(layout, "data") == "data"
    assert Path(store.data_path(layout, "data"), "file").read_text() == "kept"
    record = store.get(layout, "data")
    assert (record["name"], record["anonymous"], record["labels"]) == ("data", False, {"a": "b"})
    assert record["mountpoint"] == layout.volumes + "/data/_data"
    assert entries(layout) == []


def test_a_volume_goes_with_its_container_until_somebody_asks_for_it(layout: Layout) -> None:
    """Whoever is killed, between the volume and the container or between the container and the volume."""
    names = [store.ensure(layout, container_id=digit * 64) for digit in "abcd"]
    for name in names[1:]:
        forge_owner(layout, name)
    os.mkdir(layout.ephemeral_container("c" * 64))  # it runs; its maker has ended
    assert store.ensure(layout, names[3]) == names[3]
    assert sweep(layout) == []
    assert [name for name in names if os.path.isdir(layout.volume(name))] == [names[0], names[2], names[3]]
    os.rmdir(layout.ephemeral_container("c" * 64))
    store.own(layout, names[3], "d" * 64)  # `rm -v`, which is killed then
    forge_owner(layout, names[3])
    assert sweep(layout) == []
    assert os.listdir(layout.volumes) == [names[0]]
    assert os.listdir(layout.trash) == []


def forge_owner(layout: Layout, name: str) -> None:
    """Let the owner be a process of another boot."""
    link = f"{layout.volume(name)}/owner"
    container_id, _, token = os.readlink(link).partition("/")
    parts = token.split("-")
    os.unlink(link)
    os.symlink(f"{container_id}/{'-'.join([parts[0], 'e' * 12, *parts[2:]])}", link)


def test_mode_does_not_depend_on_the_umask(layout: Layout) -> None:
    old = os.umask(0o077)
    try:
        store.ensure(layout, "data")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(store.data_path(layout, "data")).st_mode) == 0o755


def test_anonymous_volumes_have_names_of_64_digits(layout: Layout) -> None:
    first, second = store.ensure(layout), store.ensure(layout)
    assert first != second
    assert len(first) == 64
    assert store.get(layout, first)["anonymous"] is True


def test_many_make_the_same_volume_at_once(layout: Layout) -> None:
    barrier = threading.Barrier(8)
    failures: list[Exception] = []

    def make() -> None:
        barrier.wait()
        try:
            store.ensure(layout, "data")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert os.listdir(layout.volumes) == ["data"]
    assert entries(layout) == []


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "-x", "x" * 256])
def test_bad_name_makes_nothing(layout: Layout, name: str) -> None:
    with pytest.raises(InvalidInputError):
        store.ensure(layout, name)
    assert os.listdir(layout.volumes) == []


def test_list_is_sorted_and_survives_a_lost_record(layout: Layout) -> None:
    store.ensure(layout, "bb")
    store.ensure(layout, "aa")
    Path(layout.volume("aa"), "volume.json").write_text("")  # a crash before the data reached the disk
    assert [record["name"] for record in store.list(layout)] == ["aa", "bb"]


def test_list_is_in_dockers_order_without_what_goes_meanwhile(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("v10", "v2", "v1.10", "v1.9", "gone", "V3"):
        store.ensure(layout, name)
    get = store.get

    def vanishing(layout: Layout, name: str) -> Any:
        if name == "gone":
            store.remove(layout, name)
        return get(layout, name)

    monkeypatch.setattr(store, "get", vanishing)
    assert [record["name"] for record in store.list(layout)] == ["V3", "v1.9", "v1.10", "v2", "v10"]


def test_many_are_removed_at_one_look(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("used", "one", "two"):
        store.ensure(layout, name)
    add_container(layout, "b" * 64, "used")
    looks: list[int] = []
    all_users = store.all_users

    def counted(layout: Layout) -> dict[str, list[str]]:
        looks.append(1)
        return all_users(layout)

    monkeypatch.setattr(store, "all_users", counted)
    assert store.remove_unused(layout, ["one", "absent", "used", "two"]) == ["one", "two"]
    assert len(looks) == 1
    assert os.listdir(layout.volumes) == ["used"]
    assert entries(layout) == []


@pytest.mark.parametrize("name", ["absent", "", "../containers", ".", "a/b"])
def test_unknown_volume(layout: Layout, name: str) -> None:
    with pytest.raises(VolumeNotFoundError) as caught:
        store.get(layout, name)
    assert caught.value.message == f"no such volume: {name}"
    with pytest.raises(VolumeNotFoundError):
        store.remove(layout, name)
    store.remove(layout, name, force=True)
    assert os.path.isdir(layout.containers)


def test_volume_in_use_stays(layout: Layout) -> None:
    store.ensure(layout, "data")
    add_container(layout, "a" * 64, "other")
    add_container(layout, "b" * 64, "data")
    with pytest.raises(ConflictError) as caught:
        store.remove(layout, "data", force=True)
    assert caught.value.message == f"remove data: volume is in use - [{'b' * 64}]"
    assert os.path.isdir(store.data_path(layout, "data"))


def test_removed_volume_leaves_nothing(layout: Layout) -> None:
    store.ensure(layout, "data")
    Path(store.data_path(layout, "data"), "sub").mkdir()
    Path(store.data_path(layout, "data"), "sub", "file").write_text("x")
    store.remove(layout, "data")
    assert os.listdir(layout.volumes) == []
    assert entries(layout) == []


def test_remove_waits_for_whoever_is_making_a_container(layout: Layout) -> None:
    store.ensure(layout, "data")
    done = threading.Event()
    refused: list[ConflictError] = []

    def remove() -> None:
        try:
            store.remove(layout, "data")
        except ConflictError as error:
            refused.append(error)
        done.set()

    thread = threading.Thread(target=remove)
    with fsio.FileLock(layout.gc_lock, exclusive=False):
        thread.start()
        assert not done.wait(0.1)
        add_container(layout, "b" * 64, "data")
    thread.join()
    assert len(refused) == 1
    assert os.path.isdir(store.data_path(layout, "data"))


def test_copy_up_fills_an_empty_volume_once(layout: Layout) -> None:
    store.ensure(layout, "data")
    assert store.needs_copy_up(layout, "data")
    with store.CopyUp(layout, "data") as copy:
        assert copy.needed
        Path(store.data_path(layout, "data"), "file").write_text("from the image")
    assert not store.needs_copy_up(layout, "data")
    with store.CopyUp(layout, "data") as copy:
        assert not copy.needed


def test_copy_up_that_failed_is_undone_by_the_next(layout: Layout) -> None:
    store.ensure(layout, "data")
    data = Path(store.data_path(layout, "data"))

    def fill_half() -> None:
        with store.CopyUp(layout, "data"):
            (data / "half").mkdir()
            (data / "half" / "file").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill_half()
    assert store.needs_copy_up(layout, "data")
    with store.CopyUp(layout, "data") as copy:
        assert copy.needed
        assert os.listdir(data) == []
        (data / "whole").write_text("x")
    assert os.listdir(data) == ["whole"]
    assert not store.needs_copy_up(layout, "data")


def test_what_a_container_wrote_is_never_undone(layout: Layout) -> None:
    store.ensure(layout, "data")
    Path(store.data_path(layout, "data"), "mine").write_text("x")
    with store.CopyUp(layout, "data") as copy:
        assert not copy.needed
    assert os.listdir(store.data_path(layout, "data")) == ["mine"]


def test_prepare_finds_or_makes_every_source(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    mounts = [
        parse_volume(f"{tmp_path}/there:/a"),
        parse_volume(f"{tmp_path}/new/deep:/b:ro"),
        parse_volume("vol:/c"),
        parse_volume("/d"),
        parse_tmpfs("/e"),
    ]
    names = sources.prepare(layout, mounts)
    assert (tmp_path / "new" / "deep").is_dir()
    assert names == [mounts[3].source]
    assert [mount.path for mount in mounts] == [
        f"{tmp_path}/there",
        f"{tmp_path}/new/deep",
        store.data_path(layout, "vol"),
        store.data_path(layout, names[0]),
        "",
    ]
    assert mounts[1].record() == {
        "type": "bind",
        "name": "",
        "source": f"{tmp_path}/new/deep",
        "destination": "/b",
        "mode": "ro",
        "rw": False,
        "propagation": "rprivate",
    }
    assert mounts[2].record()["name"] == "vol"


@pytest.mark.parametrize("link", [False, True])
def test_missing_source_of_mount_leaves_nothing(layout: Layout, tmp_path: Path, link: bool) -> None:
    path = tmp_path / "absent"
    if link:
        path.symlink_to("nowhere")
    mounts = [parse_volume("/d"), parse_mount(f"type=bind,src={path},dst=/x")]
    # As run holds it: cleaning up must not wait for it.
    with fsio.FileLock(layout.gc_lock, exclusive=False), pytest.raises(InvalidInputError) as caught:
        sources.prepare(layout, mounts)
    reason = "is a dangling symlink" if link else "does not exist"
    assert caught.value.message == f'invalid mount config for type "bind": bind source path {reason}: {path}'
    assert os.listdir(layout.volumes) == []
    assert entries(layout) == []


def test_source_that_cannot_be_made(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError) as caught:
        sources.prepare(layout, [parse_volume(f"{tmp_path}/file/sub:/x")])
    assert caught.value.message == (
        f"error while creating mount source path '{tmp_path}/file/sub': mkdir {tmp_path}/file/sub: not a directory"
    )
