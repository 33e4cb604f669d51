"""What `rmi` refuses, untags and removes, by docker's rules; what a collection must not take. No real layers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import rmi, tag
from pyrun.errors import ConflictError, ImageInUseError, ImageNotFoundError
from pyrun.images import resolve
from pyrun.oci.digest import of
from pyrun.store import gc, index, leases, new_container
from pyrun.store.layout import Layout
from pyrun.store.version import open_store

A, B = "docker.io/library/a:latest", "docker.io/library/b:1"
DIGEST = "sha256:" + "5" * 64


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    result = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    open_store(result)
    return result


def blob(layout: Layout, data: bytes) -> str:
    digest = of(data)
    Path(layout.blob(digest)).write_bytes(data)
    return digest


def add(layout: Layout, name: str, *salts: str, digests: str = "") -> dict[str, Any]:
    """Put an image of one layer for each salt into the store, tagged ``name`` unless that is empty."""
    layers = []
    for salt in salts:
        layers.append({"diff_id": of(f"tar{salt}".encode()), "digest": blob(layout, f"layer{salt}".encode())})
        os.makedirs(layout.layer(layers[-1]["diff_id"], "full") + "/tree", exist_ok=True)
    diff_ids = [layer["diff_id"] for layer in layers]
    config = blob(layout, json.dumps({"name": name, "rootfs": {"diff_ids": diff_ids}}).encode())
    manifest = blob(layout, json.dumps({"config": {"digest": config}, "layers": layers}).encode())
    record = {"manifest": manifest, "image_id": config, "keep": [], "layers": layers, "labels": {}}
    Path(layout.image(manifest)).write_text(json.dumps(record))
    notes = {index.CONFIG: config, index.CREATED: "2024-01-01T00:00:00Z"}
    if digests:
        notes[index.REPO_DIGESTS] = digests
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "annotations": notes}
    index.update(layout, lambda found: index.put(found, entry, name))
    return record


def container(layout: Layout, record: dict[str, Any], name: str) -> tuple[str, str]:
    container_id = new_container.new_id()
    lowerdirs = [layout.layer(layer["diff_id"], "full") + "/tree" for layer in record["layers"]]
    files = {"rootfs.json": json.dumps({"lowerdirs": lowerdirs}).encode()}
    made = {"id": container_id, "name": name, "manifest": record["manifest"]}
    return container_id, new_container.create(layout, made, files)


def short(digest: str) -> str:
    return digest.partition(":")[2][:12]


def test_the_last_name_is_refused_in_docker_s_words_with_what_mends_it(layout: Layout) -> None:
    record = add(layout, A, "1")
    container_id, _ = container(layout, record, "web")
    with pytest.raises(ImageInUseError) as caught:
        rmi.remove_image(layout, "a")
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "a" (must force) - container '
        f"{container_id[:12]} is using its referenced image {short(record['image_id'])}"
    )
    assert caught.value.hint == "the container is web: remove it first, with `pyrun rm web`"
    with pytest.raises(ImageInUseError) as caught:
        rmi.remove_image(layout, short(record["image_id"]))
    assert str(caught.value) == (
        f"conflict: unable to delete {short(record['image_id'])} (must be forced)"
        f" - image is being used by stopped container {container_id[:12]}"
    )
    # Where another tag remains, the name goes.
    tag.tag(layout, "a", "b:1")
    assert rmi.remove_image(layout, "a").lines == ["Untagged: a:latest"]


def test_a_tag_takes_the_digests_of_its_repository_along(layout: Layout) -> None:
    record = add(layout, A, "1", digests=f"docker.io/library/a@{DIGEST}")
    tag.tag(layout, "a", "b:1")
    tag.tag(layout, "a", "a:2")
    assert rmi.remove_image(layout, "a:2").lines == ["Untagged: a:2"]
    assert rmi.remove_image(layout, "a").lines == ["Untagged: a:latest", f"Untagged: a@{DIGEST}"]
    layer = record["layers"][0]["diff_id"]
    assert rmi.remove_image(layout, "b:1").lines == [
        "Untagged: b:1", f"Deleted: {record['image_id']}", f"Deleted: {layer}",
    ]  # fmt: skip


def test_by_name_and_digest(layout: Layout) -> None:
    add(layout, A, "1", digests=f"docker.io/library/a@{DIGEST}")
    assert rmi.remove_image(layout, f"a@{DIGEST}").lines == [f"Untagged: a@{DIGEST}"]
    assert [index.ref_name(entry) for entry in index.entries(layout)] == [A]
    record = add(layout, "", "2", digests=f"docker.io/library/a@{DIGEST}")
    lines = rmi.remove_image(layout, f"a@{DIGEST}").lines
    assert lines[:2] == [f"Untagged: a@{DIGEST}", f"Deleted: {record['image_id']}"]


def test_an_id_of_several_repositories_needs_force(layout: Layout) -> None:
    record = add(layout, A, "1")
    tag.tag(layout, "a", "b:1")
    with pytest.raises(ConflictError, match=r"\(must be forced\) - image is referenced in multiple repositories") as no:
        rmi.remove_image(layout, record["image_id"])
    assert "a:latest, b:1" in no.value.hint
    assert rmi.remove_image(layout, record["image_id"], force=True).untagged == ["a:latest", "b:1"]


def test_several_at_once_go_on_after_a_failure(layout: Layout) -> None:
    add(layout, A, "1")
    two = add(layout, B, "1", "2")
    one, missing, other = rmi.remove_images(layout, ["a", "nobody", "b:1"])
    assert isinstance(missing[2], ImageNotFoundError)
    # The layer that both had went with the first; nothing is told twice.
    assert one[1].layers == [two["layers"][0]["diff_id"]]
    assert other[1].layers == [two["layers"][1]["diff_id"]]
    assert os.listdir(f"{layout.layers}/sha256") == os.listdir(layout.trash) == []


def test_parents_without_a_name_go_along(layout: Layout) -> None:
    base, middle, top = add(layout, "", "1"), add(layout, "", "1", "2"), add(layout, A, "1", "2", "3")
    other = add(layout, "", "1", "9")
    assert rmi.remove_image(layout, "a", prune=False).deleted == [top["image_id"], top["layers"][2]["diff_id"]]
    top = add(layout, A, "1", "2", "3")
    gone = rmi.remove_image(layout, "a").deleted
    assert [digest for digest in gone if digest in (top["image_id"], middle["image_id"])] == [
        top["image_id"], middle["image_id"],
    ]  # fmt: skip
    # What another image is built on stays.
    assert {entry["digest"] for entry in index.entries(layout)} == {base["manifest"], other["manifest"]}


def test_a_container_keeps_the_image_that_it_was_made_of(layout: Layout) -> None:
    old = add(layout, A, "1")
    container(layout, old, "web")
    new = add(layout, A, "2")
    assert rmi.remove_image(layout, "a").deleted == [new["image_id"], new["layers"][0]["diff_id"]]
    assert resolve.has_layers(layout, old, "full")
    with pytest.raises(ImageInUseError, match="stopped container"):
        rmi.remove_image(layout, old["image_id"])


@pytest.mark.parametrize("lost", ["container.json", "record"])
def test_layers_of_a_damaged_container_or_image_are_kept(layout: Layout, lost: str) -> None:
    """A container that may be running must not lose its root because a file of ours cannot be read."""
    record = add(layout, "", "1", "2")
    _, path = container(layout, record, "web")
    index.update(layout, lambda found: [])
    if lost == "record":
        os.unlink(layout.image(record["manifest"]))
    else:
        Path(path, "container.json").write_text('{"id"')
    gc.collect(layout)
    assert resolve.has_layers(layout, record, "full")


def test_a_lease_on_a_manifest_keeps_all_that_it_needs(layout: Layout) -> None:
    """What `run` holds until its container is in place."""
    record = add(layout, A, "1", "2")
    with leases.acquire(layout, [record["manifest"]]):
        assert rmi.remove_image(layout, "a").deleted == [record["image_id"]]
        assert resolve.is_there(layout, record)
        assert resolve.has_layers(layout, record, "full")
    assert len(gc.collect(layout).layers) == 2
