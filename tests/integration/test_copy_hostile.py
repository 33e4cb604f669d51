"""`registry copy` of what a hostile or an odd registry has: bounded, and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pyrun.engine import index_parts
from pyrun.engine.remote import Access
from pyrun.engine.remote_copy import copy
from pyrun.errors import InvalidConfigError
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.index import decode_index
from tests.support.registry_hostile import MANIFEST_TYPE, digest_of, manifest_of
from tests.support.registry_taking import TakingRegistry

INDEX = "application/vnd.oci.image.index.v1+json"
LAYER, CONFIG = b"layer", b"{}"


@pytest.fixture
def registry() -> Iterator[TakingRegistry]:
    with TakingRegistry() as registry:
        for data in (LAYER, CONFIG):
            registry.blobs["here", digest_of(data)] = data
        yield registry


def keep(registry: TakingRegistry, document: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give the registry a document; return its descriptor."""
    data = json.dumps(document).encode()
    kind = document.get("mediaType", MANIFEST_TYPE)
    for name in (digest_of(data), *names):
        registry.manifests["here", name] = (kind, data)
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


def index_of(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries]}


def copied(registry: TakingRegistry) -> set[str]:
    source, target = f"{registry.domain}/here:1", f"{registry.domain}/there:1"
    copy(source, [target], source_access=Access(), access=Access(), all_platforms=True)
    return {wanted for repository, wanted in registry.manifests if repository == "there"}


def test_each_manifest_is_copied_once_and_after_what_it_names(registry: TakingRegistry) -> None:
    leaf = keep(registry, manifest_of(CONFIG, LAYER))
    middle = keep(registry, index_of(leaf, leaf))
    keep(registry, index_of(middle, leaf, middle), "1")
    assert copied(registry) == {"1", leaf["digest"], middle["digest"]}
    asked = [seen for seen in registry.seen if "/manifests/sha256" in seen.path]
    assert [(seen.method, seen.path.rpartition("/")[2]) for seen in asked] == [
        ("GET", middle["digest"]), ("GET", leaf["digest"]), ("PUT", leaf["digest"]), ("PUT", middle["digest"]),
    ]  # fmt: skip


def test_indexes_without_end_are_refused_before_anything_is_sent(registry: TakingRegistry) -> None:
    inner = keep(registry, manifest_of(CONFIG, LAYER))
    for _ in range(6):
        inner = keep(registry, index_of(inner), "1")
    with pytest.raises(InvalidConfigError, match="deep"):
        copied(registry)
    assert not [seen for seen in registry.seen if seen.method in ("PUT", "POST")]


def test_more_manifests_or_bytes_than_an_image_has(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [json.dumps(manifest_of(bytes([number]), LAYER)).encode() for number in range(4)]
    by_digest = {digest_of(data): data for data in documents}
    entries = [{"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(data)} for digest, data in by_digest.items()]
    top = decode_index(json.dumps(index_of(*entries)).encode())

    def read(entry: Descriptor) -> bytes:
        return by_digest[entry.digest]

    found = index_parts.parts(top, read)
    assert found
    assert (len(found.manifests), len(found.configs), len(found.layers)) == (4, 4, 1)
    for name, bound in (("MAX_MANIFESTS", 3), ("MAX_BYTES", sum(map(len, documents)))):
        with monkeypatch.context() as patch:
            patch.setattr(index_parts, name, bound)
            with pytest.raises(InvalidConfigError, match="more than"):
                index_parts.parts(top, read)


def test_a_layer_that_has_urls_too_is_copied_and_a_foreign_one_is_not(registry: TakingRegistry) -> None:
    manifest = manifest_of(CONFIG, LAYER, b"foreign")
    manifest["layers"][0]["urls"] = ["https://example.org/layer"]
    manifest["layers"][1]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    keep(registry, manifest, "1")
    copied(registry)
    there = {digest for repository, digest in registry.blobs if repository == "there"}
    assert there == {digest_of(LAYER), digest_of(CONFIG)}
