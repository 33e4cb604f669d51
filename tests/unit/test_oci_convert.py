"""pyrun.oci.convert: Docker schema 2 to OCI and back, with the same bytes each time."""

from __future__ import annotations

import json

import pytest

from pyrun.errors import InvalidInputError
from pyrun.oci import digest, media_types
from pyrun.oci.convert import to_docker, to_oci
from pyrun.oci.manifest import Manifest, decode_manifest

ONE, TWO, THREE = (f"sha256:{letter * 64}" for letter in "abc")
DOCKER = {
    "schemaVersion": 2,
    "mediaType": media_types.DOCKER_MANIFEST,
    "config": {"mediaType": media_types.DOCKER_CONFIG, "size": 7023, "digest": ONE},
    "layers": [
        {"mediaType": media_types.DOCKER_LAYER_GZIP, "size": 32654, "digest": TWO},
        {
            "mediaType": media_types.DOCKER_FOREIGN_LAYER_GZIP,
            "size": 5,
            "digest": THREE,
            "urls": ["https://example.com/x"],
        },
    ],
}


def test_every_type_is_renamed() -> None:
    manifest = decode_manifest(json.dumps(DOCKER).encode())
    assert isinstance(manifest, Manifest)
    descriptor, data = to_oci(manifest)
    document = json.loads(data)
    assert b"docker" not in data
    assert document["mediaType"] == media_types.OCI_MANIFEST
    assert document["config"] == {"mediaType": media_types.OCI_CONFIG, "digest": ONE, "size": 7023}
    assert [layer["mediaType"] for layer in document["layers"]] == [
        media_types.OCI_LAYER_GZIP,
        media_types.OCI_FOREIGN_LAYER_GZIP,
    ]
    assert document["layers"][1]["urls"] == ["https://example.com/x"]
    assert (descriptor.digest, descriptor.size) == (digest.of(data), len(data))


def test_same_bytes_for_any_spelling() -> None:
    first = to_oci(decode_manifest(json.dumps(DOCKER, indent=3).encode()))  # type: ignore[arg-type]
    second = to_oci(decode_manifest(json.dumps(dict(reversed(DOCKER.items()))).encode()))  # type: ignore[arg-type]
    assert first == second
    again = to_oci(decode_manifest(first[1], media_types.OCI_MANIFEST))  # type: ignore[arg-type]
    assert again == first
    assert first[0].digest == "sha256:8a861533973291e378f9fa479b8c2d7cb4e931b7319f8ea675a403ada8d955d6"


def test_schema_2_again() -> None:
    first = to_oci(decode_manifest(json.dumps(DOCKER).encode()))  # type: ignore[arg-type]
    descriptor, data = to_docker(decode_manifest(first[1]))  # type: ignore[arg-type]
    assert json.loads(data) == DOCKER
    assert (descriptor.media_type, descriptor.digest) == (media_types.DOCKER_MANIFEST, digest.of(data))


def test_schema_2_has_no_annotations_and_no_zstd() -> None:
    oci = json.loads(to_oci(decode_manifest(json.dumps(DOCKER).encode()))[1])  # type: ignore[arg-type]
    oci |= {"annotations": {"a": "b"}}
    oci["layers"][0]["annotations"] = {"c": "d"}
    assert json.loads(to_docker(decode_manifest(json.dumps(oci).encode()))[1]) == DOCKER  # type: ignore[arg-type]
    oci["layers"][0]["mediaType"] = media_types.OCI_LAYER_ZSTD
    with pytest.raises(InvalidInputError, match=f"layer {TWO}: .*zstd has no name there"):
        to_docker(decode_manifest(json.dumps(oci).encode()))  # type: ignore[arg-type]
