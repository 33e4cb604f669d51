"""What a collection must leave alone: damage of a root is never taken for the absence of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.engine import manifest_push, rmi
from pyrun.engine.remote import Access
from pyrun.errors import InvalidInputError, StorageFullError, StoreCorruptError
from pyrun.oci.digest import of
from pyrun.store import fsio, gc, image_mounts, index, leases, manifest_lists, new_container
from tests.unit.test_store_index import A, B, add_image, blob, files, layout, tags

if TYPE_CHECKING:
    from pyrun.store.layout import Layout

__all__ = ["layout"]


def flip(path: str, text: str) -> None:
    """Flip a bit in the last digit of a text in a file."""
    data = Path(path).read_text()
    assert text in data
    Path(path).write_text(data.replace(text, text[:-1] + format(int(text[-1], 16) ^ 1, "x")))


def test_an_image_that_a_flipped_bit_hides(layout: Layout) -> None:
    record = add_image(layout, A)
    flip(layout.index, record["manifest"])
    before = files(layout)
    with pytest.raises(StoreCorruptError):
        gc.collect(layout)
    assert files(layout) == before


def test_no_index_is_not_an_empty_one(layout: Layout) -> None:
    add_image(layout, A)
    os.unlink(layout.index)
    before = files(layout)
    for change in (lambda: gc.collect(layout), lambda: rmi.remove_images(layout, ["a"])):
        with pytest.raises(StoreCorruptError, match="it is missing"):
            change()
    with pytest.raises(StoreCorruptError, match="it is missing"):
        index.update(layout, lambda found: [])
    assert files(layout) == before
    assert index.entries(layout) == []


def test_what_another_tool_writes_for_an_empty_index(layout: Layout) -> None:
    Path(layout.index).write_text('{"schemaVersion":2,"manifests":null}')
    add_image(layout, A)
    assert list(tags(layout)) == [A]


def test_a_list_that_cannot_be_read_costs_no_tag(layout: Layout) -> None:
    add_image(layout, A)
    manifest_lists.update(layout, "l", lambda before: manifest_lists.ManifestList([], {}))
    with open(f"{layout.manifest_lists}/l", "a", encoding="ascii") as file:
        file.write("x")
    before = tags(layout), files(layout)
    with pytest.raises(StoreCorruptError):
        rmi.remove_image(layout, "a")
    assert (tags(layout), files(layout)) == before


def test_a_container_whose_record_names_another_image_by_a_flipped_bit(layout: Layout) -> None:
    record = add_image(layout, A)
    trees = [f"{layout.layer(layer['diff_id'], 'full')}/tree" for layer in record["layers"]]
    made = {"id": "c" * 64, "name": "c1", "manifest": record["manifest"], "boot_id": "", "options": {}}
    directory = new_container.create(layout, made, {"rootfs.json": json.dumps({"lowerdirs": trees}).encode()})
    flip(f"{directory}/container.json", record["manifest"])
    index.update(layout, lambda found: [])
    assert record["layers"][0]["diff_id"] not in gc.collect(layout).layers
    assert all(map(os.path.isdir, trees))


@pytest.mark.parametrize("is_nested", [False, True])
def test_all_platforms_of_an_index(layout: Layout, is_nested: bool) -> None:
    """Whatever the record says: of two pulls at once the one that came without them may have written it."""
    here, other = add_image(layout, A), add_image(layout, B, "other")
    os.unlink(layout.image(other["manifest"]))
    listed = blob(layout, json.dumps({"manifests": [{"digest": other["manifest"]}]}).encode())
    if is_nested:
        listed = blob(layout, json.dumps({"manifests": [{"digest": listed}]}).encode())

    def change(found: list[index.Entry]) -> list[index.Entry]:
        (entry,) = (item for item in found if item["digest"] == here["manifest"])
        notes: dict[str, Any] = {index.SOURCE_INDEX: listed, index.ALL_PLATFORMS: "true"}
        return [{**entry, "annotations": {**entry["annotations"], **notes}}]

    index.update(layout, change)
    assert gc.collect(layout).blobs == []


def test_a_list_is_kept_while_it_is_pushed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = add_image(layout, A)["manifest"]
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
    name = "docker.io/library/l:1"
    manifest_lists.update(layout, name, lambda before: manifest_lists.ManifestList([entry], {digest: ""}))

    def send(*_: object) -> None:
        index.update(layout, lambda found: [])
        manifest_push.rm(layout, name)
        raise InvalidInputError("sent")

    monkeypatch.setattr(manifest_push, "_from_store", send)
    with pytest.raises(InvalidInputError, match="sent"):
        manifest_push.push(layout, name, "127.0.0.1:1/l:1", Access())
    assert os.path.exists(layout.blob(digest))
    assert digest in gc.collect(layout).blobs


def test_what_cannot_be_written_leaves_nothing(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(layout)
    number = errno.ENOSPC

    def write_all(fd: int, data: bytes) -> None:
        os.write(fd, data[:3])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fsio, "write_all", write_all)
    with pytest.raises(StorageFullError):
        leases.acquire(layout, [of(b"x")])
    with pytest.raises(StorageFullError):
        fsio.write_new(f"{layout.tmp}/x", b"content")
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error") as caught:
        fsio.write_new(f"{layout.tmp}/x", b"content")
    assert caught.value.filename == f"{layout.tmp}/x"
    assert files(layout) == before


def test_an_image_is_unmounted_while_the_mounts_are_listed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"manifest": of(b"x"), "image_id": of(b"y"), "kind": image_mounts.COPIED, "path": "/none"}
    for name in ("one", "two"):
        building, fd = image_mounts.begin(layout, record)
        image_mounts.publish(layout, building, name)
        os.close(fd)

    def is_alive(mount: image_mounts.ImageMount) -> bool:
        shutil.rmtree(layout.mount("one"), ignore_errors=True)
        return True

    monkeypatch.setattr(image_mounts.ImageMount, "is_alive", property(is_alive))
    image_mounts.alive(layout)
    gc.collect(layout)


def test_no_blob_is_dropped_of_an_image_that_is_leased(layout: Layout) -> None:
    """`save` holds the manifest alone."""
    record = add_image(layout, A)
    wanted = {record["layers"][0]["digest"]: ["host/name"]}
    with leases.acquire(layout, [record["manifest"]]):
        assert gc.drop_blobs(layout, lambda: wanted).blobs == []
    assert gc.drop_blobs(layout, lambda: wanted).blobs == [*wanted]
