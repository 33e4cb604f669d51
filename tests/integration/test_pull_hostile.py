"""Pull from a registry that lies, breaks off or damages; into a store that must not show it."""

from __future__ import annotations

import gzip
import json
import os
import re
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pyrun.engine import fetch as fetch_module
from pyrun.engine import workers
from pyrun.errors import (
    DigestMismatchError,
    InvalidConfigError,
    PyrunError,
    RegistryError,
    SizeMismatchError,
    UnsafeLayerError,
)
from pyrun.layers import pyrun_tree
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.store import index
from pyrun.store.layout import Layout
from tests.support.registry_hostile import MANIFEST_TYPE, Answer, HostileRegistry, blob, digest_of, document, status
from tests.support.store_images import FORM, Image, contents, directories, fetch, new_layout, tar_of

GOOD = tar_of(file=os.urandom(200_000))


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as found:
        yield found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_layout(tmp_path)


def serve(registry: HostileRegistry, image: Image, *, layers: list[Answer] | None = None) -> str:
    _, answer = document(image.manifest)
    registry.on("/v2/x/manifests/1", answer)
    registry.on(f"/v2/x/blobs/{digest_of(image.config)}", blob(image.config))
    answers = layers or [blob(layer) for layer in image.layers]
    for layer, given in zip(image.manifest["layers"], answers, strict=True):
        registry.on(f"/v2/x/blobs/{layer['digest']}", given)
    return f"{registry.domain}/x:1"


def refused(layout: Layout, reference: str, error: type[PyrunError], match: str) -> None:
    """Pull, expect the error, and see that the store is as it was and no thread is left.

    What has come of other layers than the bad one is kept for the next try.
    """
    before = contents(layout).keys(), directories(layout)
    with pytest.raises(error, match=match) as caught:
        fetch(layout, reference)
    bad = re.search("sha256:([0-9a-f]{64})", str(caught.value))
    for name in os.listdir(layout.partials):
        assert bad is not None
        assert name != bad[1]
        os.unlink(f"{layout.partials}/{name}")
    assert (contents(layout).keys(), directories(layout)) == before
    assert index.entries(layout) == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("pyrun")] == []


def test_wrong_bytes_of_a_layer(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(GOOD)
    other = image.layers[0][:-9] + bytes(9)
    refused(layout, serve(registry, image, layers=[blob(other)]), DigestMismatchError, "digest does not match: layer")


def test_another_valid_layer_under_the_digest(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(GOOD)
    other = gzip.compress(tar_of(evil=b"x"), 1)
    other += bytes(len(image.layers[0]) - len(other))
    with pytest.raises(PyrunError):
        fetch(layout, serve(registry, image, layers=[blob(other)]))
    assert os.listdir(layout.tmp) == os.listdir(f"{layout.layers}/sha256") == os.listdir(f"{layout.blobs}/sha256") == []


def test_layer_that_is_not_its_diff_id(registry: HostileRegistry, layout: Layout) -> None:
    image, other = Image(GOOD), Image(tar_of(file=b"other"))
    image.layers = other.layers
    image.manifest["layers"] = other.manifest["layers"]
    refused(layout, serve(registry, image), DigestMismatchError, "digest does not match: uncompressed layer")


def test_truncated_layer_with_a_matching_digest(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(GOOD)
    image.layers[0] = image.layers[0][:50_000]
    image.manifest["layers"][0].update(digest=digest_of(image.layers[0]), size=50_000)
    refused(layout, serve(registry, image), UnsafeLayerError, "refused layer sha256")


def test_a_failure_stops_the_other_layers_and_starts_no_more(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(*(tar_of(file=os.urandom(size)) for size in (9_000, 6_000, 3_000)))
    manifest = decode_manifest(json.dumps(image.manifest).encode())
    assert isinstance(manifest, Manifest)
    bad, slow, _ = manifest.layers
    asked: list[str] = []
    told: list[bool] = []
    begun = threading.Event()

    class Place:
        def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
            asked.append(descriptor.digest)
            if descriptor == bad:
                begun.wait(60)  # the other one must be under way
                yield bytes(bad.size)
            else:
                begun.set()
                yield image.layers[1][:100]
                told.append(fetching._workers.cancelled.wait(60))
                yield image.layers[1][100:]

        def abort(self) -> None:
            return

    monkeypatch.setattr(workers, "WORKERS", 2)
    fetching = fetch_module.Fetch(layout, Place(), FORM, pyrun_tree.spawn_here, lambda *_: None)
    with pytest.raises(PyrunError, match=bad.digest):
        fetching.stage([(layer, digest_of(tar)) for layer, tar in zip(manifest.layers, image.tars, strict=True)])
    assert told == [True]
    assert sorted(asked) == sorted([bad.digest, slow.digest])
    fetching.__exit__(None, None, None)
    assert os.listdir(layout.tmp) == []


def test_one_bad_layer_cancels_the_others(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(*(tar_of(**{f"file{number}": os.urandom(50_000)}) for number in range(8)))
    answers = [blob(layer) for layer in image.layers]
    answers[3] = blob(image.layers[3][:-9] + bytes(9))
    refused(layout, serve(registry, image, layers=answers), DigestMismatchError, "layer")


def test_longer_blob_than_its_descriptor(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(GOOD)
    image.manifest["layers"][0]["size"] -= 1
    refused(layout, serve(registry, image), SizeMismatchError, "size does not match")


def test_wrong_config(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(GOOD)
    reference = serve(registry, image)
    registry.on(f"/v2/x/blobs/{digest_of(image.config)}", blob(image.config[:-1] + b" "))
    refused(layout, reference, DigestMismatchError, "digest does not match")


def test_config_with_another_number_of_layers(registry: HostileRegistry, layout: Layout) -> None:
    image = Image(GOOD, tar_of(two=b"2"))
    del image.manifest["layers"][1]
    image.layers.pop()
    refused(layout, serve(registry, image), InvalidConfigError, "2 diff_ids for the 1 layers")


def test_escaping_layer(registry: HostileRegistry, layout: Layout, tmp_path: Path) -> None:
    image = Image(GOOD, tar_of(**{"..__..__..__..__escaped": b"x"}))
    refused(layout, serve(registry, image), UnsafeLayerError, "escaped")
    assert list(tmp_path.rglob("escaped")) == []


def test_manifest_that_is_no_json(registry: HostileRegistry, layout: Layout) -> None:
    registry.on("/v2/x/manifests/1", status(200, b"<html>", Content_Type=MANIFEST_TYPE))
    refused(layout, f"{registry.domain}/x:1", RegistryError, "its answer is no manifest")
