"""index.json, leases, collection and look-up, without any real layer."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import history, image_inspect, images, rmi, tag
from pyrun.errors import (
    ConflictError,
    ImageInUseError,
    ImageNotFoundError,
    InvalidInputError,
    InvalidReferenceError,
    StorageFullError,
    StoreCorruptError,
)
from pyrun.images import resolve
from pyrun.oci.digest import of
from pyrun.store import containers, fsio, gc, index, leases, manifest_lists, new_container, owner, tag_log
from pyrun.store.layout import Layout
from pyrun.store.version import open_store


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    result = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    open_store(result)
    return result


def blob(layout: Layout, data: bytes) -> str:
    digest = of(data)
    Path(layout.blob(digest)).write_bytes(data)
    return digest


def add_image(layout: Layout, name: str, salt: str = "") -> dict[str, Any]:
    """Put an image of one empty layer into the store, tagged ``name`` unless that is empty."""
    layer, diff_id = blob(layout, f"layer{salt}".encode()), of(f"tar{salt}".encode())
    os.makedirs(layout.layer(diff_id, "full") + "/tree", exist_ok=True)
    config = blob(layout, json.dumps({"os": "linux", "architecture": "amd64", "salt": salt}).encode())
    manifest = blob(layout, json.dumps({"config": {"digest": config}, "layers": [{"digest": layer}]}).encode())
    record = {
        "manifest": manifest, "image_id": config, "platform": "linux/amd64", "created": "2024-01-01T00:00:00Z",
        "architecture": "amd64", "variant": "", "os": "linux", "size": 5, "unpacked_size": 7, "keep": [],
        "layers": [{"diff_id": diff_id, "digest": layer, "size": 5}],
    }  # fmt: skip
    Path(layout.image(manifest)).write_text(json.dumps(record))
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": 1,
        "annotations": {index.CONFIG: config, index.CREATED: record["created"], index.SIZE: "7"},
    }  # fmt: skip
    index.update(layout, lambda found: index.put(found, entry, name))
    return record


def tags(layout: Layout) -> dict[str, str]:
    return {index.ref_name(entry): entry["digest"] for entry in index.entries(layout)}


def files(layout: Layout) -> list[str]:
    places = (
        layout.images,
        layout.layers + "/sha256",
        layout.blobs + "/sha256",
        layout.tmp,
        layout.trash,
        layout.leases,
    )
    return sorted(f"{place}/{name}" for place in places for name in os.listdir(place))


A, B = "docker.io/library/a:latest", "docker.io/library/b:1"


def test_tag_moves_and_leaves_a_dangling_image(layout: Layout) -> None:
    one, two = add_image(layout, A, "1"), add_image(layout, A, "2")
    assert tags(layout) == {A: two["manifest"], "": one["manifest"]}
    dangling = [image for image in images.list_images(layout) if not image.tag]
    assert [image.id for image in dangling] == [one["image_id"]]
    log = Path(layout.refs_log).read_text().splitlines()
    assert [line.split()[1:4] for line in log] == [[A, "-", one["manifest"]], [A, one["manifest"], two["manifest"]]]


def test_tagging_a_dangling_image_leaves_one_entry(layout: Layout) -> None:
    one = add_image(layout, "", "1")
    assert tag.tag(layout, one["image_id"][7:15], "a") == A
    assert tag.tag(layout, "a", "b:1") == B
    assert [(index.ref_name(entry), entry["digest"]) for entry in index.entries(layout)] == [
        (A, one["manifest"]), (B, one["manifest"]),
    ]  # fmt: skip
    with pytest.raises(InvalidReferenceError, match="digest reference"):
        tag.tag(layout, "a", "b@" + one["manifest"])
    with pytest.raises(ImageNotFoundError):
        tag.tag(layout, "nobody", "b")


def _tag_many(layout: Layout, prefix: str) -> None:
    for number in range(30):
        tag.tag(layout, "a", f"{prefix}:{number}")


def test_two_processes_tag_at_once_and_none_is_lost(layout: Layout) -> None:
    record = add_image(layout, A)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_tag_many, args=(layout, f"x{number}")) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    expected = {f"docker.io/library/x{worker}:{number}" for worker in range(4) for number in range(30)} | {A}
    assert tags(layout) == dict.fromkeys(expected, record["manifest"])
    assert os.listdir(layout.tmp) == []


def test_look_up(layout: Layout) -> None:
    one, two = add_image(layout, A, "1"), add_image(layout, "localhost:5000/x/y:1", "2")
    for text in ("a", "a:latest", "docker.io/a", one["image_id"], one["image_id"][7:], one["image_id"][7:19],
                 one["manifest"], one["manifest"][7:20], "a@" + one["manifest"]):  # fmt: skip
        assert resolve.resolve_image(layout, text) == one, text
    assert resolve.resolve_image(layout, "localhost:5000/x/y:1") == two
    for text in ("a:1", "x/y:1", "b@" + one["manifest"], "a@" + two["manifest"], "0" * 64, "sha256:" + "0" * 64):
        with pytest.raises(ImageNotFoundError):
            resolve.resolve_image(layout, text)
    with pytest.raises(InvalidReferenceError):
        resolve.resolve_image(layout, "A B")


def test_ambiguous_id(layout: Layout) -> None:
    records = [add_image(layout, f"docker.io/library/i{number}:1", str(number)) for number in range(40)]
    first = [record["image_id"][7] for record in records]
    twice = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(InvalidInputError, match="multiple IDs found with provided prefix"):
        resolve.resolve_image(layout, twice)


def test_rmi_untags_first_and_deletes_with_the_last_name(layout: Layout) -> None:
    before = files(layout)
    record = add_image(layout, A)
    tag.tag(layout, "a", "b:1")
    assert rmi.remove_image(layout, "b:1").lines == ["Untagged: b:1"]
    result = rmi.remove_image(layout, "a")
    assert result.untagged == ["a:latest"]
    assert result.deleted == [record["image_id"], record["layers"][0]["diff_id"]]
    assert files(layout) == before
    with pytest.raises(ImageNotFoundError):
        rmi.remove_image(layout, "a")


def test_rmi_by_id_of_several_names_is_a_conflict_unless_forced(layout: Layout) -> None:
    record = add_image(layout, A)
    tag.tag(layout, "a", "b:1")
    with pytest.raises(ConflictError, match=r"image is referenced in multiple repositories"):
        rmi.remove_image(layout, record["image_id"][:19])
    assert rmi.remove_image(layout, record["image_id"][:19], force=True).untagged == ["a:latest", "b:1"]
    assert index.entries(layout) == []


@pytest.mark.parametrize("live", [False, True])
def test_rmi_refuses_while_a_container_uses_it(layout: Layout, live: bool) -> None:
    record = add_image(layout, A)
    container_id = new_container.new_id()
    path = new_container.create(layout, {"id": container_id, "name": "user", "manifest": record["manifest"]}, {})
    monitor: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if live:  # what a monitor does: its state, and its lock for as long as it lives
        state = {"pid": 1, "starttime": 1, "monitor": 1, "monitor_starttime": 1, "started": "", "boot_id": ""}
        fsio.write_new(path + "/state", json.dumps(state).encode())
        monitor = fsio.FileLock(path + "/lock", exclusive=True)
    with monitor:
        with pytest.raises(ImageInUseError) as caught:
            rmi.remove_image(layout, "a")
        assert (caught.value.container_id, caught.value.running) == (container_id, live)
        assert tags(layout) == {A: record["manifest"]}
        if live:  # docker: by force the name goes, not the image
            with pytest.raises(ImageInUseError, match=r"cannot be forced"):
                rmi.remove_image(layout, record["image_id"], force=True)
            assert rmi.remove_image(layout, "a", force=True).lines == ["Untagged: a:latest"]
            assert [entry["digest"] for entry in index.entries(layout)] == [record["manifest"]]
            return
    # Forced: image and name go, the layers that the container needs stay.
    assert rmi.remove_image(layout, "a", force=True).deleted == [record["image_id"]]
    assert os.path.isdir(layout.layer(record["layers"][0]["diff_id"], "full"))
    containers.delete(layout, container_id, path)
    assert gc.collect(layout).images == [record["manifest"]]


def test_a_shared_layer_stays(layout: Layout) -> None:
    one = add_image(layout, A, "1")
    two = add_image(layout, B, "2")
    shared = {**two, "layers": one["layers"]}
    Path(layout.image(two["manifest"])).write_text(json.dumps(shared))
    rmi.remove_image(layout, "a")
    assert os.path.isdir(layout.layer(one["layers"][0]["diff_id"], "full"))
    assert os.path.exists(layout.blob(one["layers"][0]["digest"]))


def test_a_lease_protects_until_its_owner_is_dead(layout: Layout) -> None:
    digest = blob(layout, b"precious")
    lease = leases.acquire(layout, [digest])
    assert gc.collect(layout).blobs == []
    parts = owner.token().split("-")
    os.rename(f"{layout.leases}/{os.listdir(layout.leases)[0]}", f"{layout.leases}/{'-'.join([*parts[:4], '1', 'f'])}")
    assert gc.collect(layout).blobs == [digest]
    lease.release()


def test_a_broken_index_is_named(layout: Layout) -> None:
    Path(layout.index).write_text('{"manifests"')
    with pytest.raises(StoreCorruptError) as caught:
        index.entries(layout)
    assert caught.value.path == layout.index


def test_inspect_refuses_a_damaged_config(layout: Layout) -> None:
    record = add_image(layout, A)
    assert image_inspect.image_inspect(layout, "a")["RepoTags"] == ["a:latest"]
    Path(layout.blob(record["image_id"])).write_bytes(b"{}")
    with pytest.raises(StoreCorruptError, match="blob is corrupt"):
        image_inspect.image_inspect(layout, "a")


def test_rmi_on_a_full_disk_makes_room_for_the_index(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the hint of every full disk names."""
    add_image(layout, A)
    Path(layout.cache, "filter").write_bytes(bytes(4000))
    write = fsio.write_atomic

    def full(path: str, data: bytes, **options: Any) -> None:
        if os.listdir(layout.cache):
            raise StorageFullError(f"cannot write: {path}: no space left on the file system", path=path)
        write(path, data, **options)

    monkeypatch.setattr(fsio, "write_atomic", full)
    assert rmi.remove_image(layout, "a").untagged == ["a:latest"]
    assert index.entries(layout) == []


def test_a_tag_that_cannot_be_logged_is_moved(layout: Layout) -> None:
    os.mkdir(layout.refs_log)  # as good as a full disk: it cannot be written
    add_image(layout, A)
    assert [index.ref_name(entry) for entry in index.entries(layout)] == [A]


def test_another_index_being_complete_does_not_make_this_one_complete() -> None:
    def entry(listed: str, **notes: str) -> dict[str, Any]:
        return {"digest": "sha256:m", "annotations": {index.SOURCE_INDEX: listed, **notes}}

    first = index.put([], entry("sha256:1", **{index.ALL_PLATFORMS: "true"}), "x:1")
    same = index.put(first, entry("sha256:1"), "x:2")
    assert [index.notes_of(item).get(index.ALL_PLATFORMS) for item in same] == ["true", "true"]
    other = index.put(first, entry("sha256:2"), "x:2")
    assert [index.notes_of(item).get(index.ALL_PLATFORMS) for item in other] == ["true", None]
    assert [index.notes_of(item)[index.SOURCE_INDEX] for item in other] == ["sha256:1", "sha256:2"]
    whole = index.put(
        index.put([], entry("sha256:1"), "x:1"), entry("sha256:1", **{index.ALL_PLATFORMS: "true"}), "x:2"
    )
    assert [index.notes_of(item).get(index.ALL_PLATFORMS) for item in whole] == ["true", "true"]


def test_the_record_of_tags_is_bounded(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes is old: the last move of each tag that there is stays, and what is said of it after all is new."""
    monkeypatch.setattr(tag_log, "MAX_BYTES", 20_000)
    record = add_image(layout, A)
    for number in range(300):
        tag.tag(layout, "a", f"moves:{number % 3}")
        rmi.remove_image(layout, f"moves:{number % 3}")
    lines = Path(layout.refs_log).read_text().splitlines()
    assert os.path.getsize(layout.refs_log) <= 20_000
    assert len(lines) > 20
    assert [move.new for move in history.tag_moves(layout, "a")] == [record["manifest"]]
    assert history.tag_moves(layout, "moves:2")[0].old == record["manifest"]
    assert all(len(line.split(" ")) == 5 for line in lines)
    assert os.listdir(layout.tmp) == []


def _list_adds(layout: Layout, path: str) -> None:
    def change(before: manifest_lists.ManifestList | None) -> manifest_lists.ManifestList:
        Path(path).write_text("begun")
        os.read(os.open(f"{path}.go", os.O_RDONLY), 1)
        return before or manifest_lists.ManifestList([], {})

    manifest_lists.update(layout, "l", change)


def test_a_list_that_is_removed_does_not_come_back(layout: Layout, tmp_path: Path) -> None:
    """`rm` while another is adding waits for that."""
    manifest_lists.update(layout, "l", lambda before: manifest_lists.ManifestList([], {}))
    path = str(tmp_path / "at")
    os.mkfifo(path)
    os.mkfifo(f"{path}.go")
    context = multiprocessing.get_context("fork")
    adding = context.Process(target=_list_adds, args=(layout, path))
    adding.start()
    assert Path(path).read_text() == "begun"
    removing = context.Process(target=manifest_lists.remove, args=(layout, "l"))
    removing.start()
    assert manifest_lists.names(layout) == ["l"]
    Path(f"{path}.go").write_text("x")
    adding.join()
    removing.join()
    assert (adding.exitcode, removing.exitcode) == (0, 0)
    assert manifest_lists.names(layout) == []


def test_where_it_was_pushed_is_a_repo_digest_once_a_tag_names_it(layout: Layout) -> None:
    """As in docker, where a tag is always there before the push; other places stay apart, through a pull too."""
    digest = add_image(layout, "docker.io/library/a:1")["manifest"]
    [entry] = index.entries(layout)
    places = {
        index.PUSHED: f"host.io/x@{digest} host.io/y@{digest}",
        index.REPO_DIGESTS: f"docker.io/library/a@{digest}",
    }
    entry["annotations"] |= places
    index.update(layout, lambda found: index.put(found, entry, "docker.io/library/a:1"))
    tag.tag(layout, "a:1", "host.io/x:other")
    add_image(layout, "docker.io/library/a:1")
    for found in index.entries(layout):
        notes = index.notes_of(found)
        assert notes[index.REPO_DIGESTS] == f"docker.io/library/a@{digest} host.io/x@{digest}"
        assert notes[index.PUSHED] == f"host.io/y@{digest}"


def test_a_tag_that_no_index_led_to_gets_none(layout: Layout) -> None:
    """It is pushed as it was pulled, though another tag of the same manifest was found by an index."""
    add_image(layout, "docker.io/library/plain:1")
    [plain] = index.entries(layout)
    listed = {**plain, "annotations": {**index.notes_of(plain), index.SOURCE_INDEX: "sha256:i"}}
    index.update(layout, lambda found: index.put(found, listed, "docker.io/library/multi:1"))
    index.update(layout, lambda found: index.put(found, plain, "docker.io/library/other:1"))
    found = {index.ref_name(entry): index.notes_of(entry).get(index.SOURCE_INDEX) for entry in index.entries(layout)}
    assert found == {
        "docker.io/library/plain:1": None,
        "docker.io/library/multi:1": "sha256:i",
        "docker.io/library/other:1": None,
    }
