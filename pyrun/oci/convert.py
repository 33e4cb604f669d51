"""Docker schema 2 manifests as OCI manifests and back: the same config and layers under the other names.

It must not know of the store. The store's index.json may only name OCI manifests: skopeo and umoci refuse schema 2
entries in an image layout. Config and layer blobs stay as they are, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pyrun.errors import InvalidInputError
from pyrun.oci import digest, json, media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest


def to_oci(manifest: Manifest) -> tuple[Descriptor, bytes]:
    """Write a manifest as an OCI manifest: the same input gives the same bytes, and so the same digest.

    ``to_oci(decode_manifest(to_oci(m)[1])) == to_oci(m)``. An OCI manifest keeps its meaning, but not its bytes.
    """
    return _written(manifest, media_types.OCI_MANIFEST, media_types.TO_OCI)


def to_docker(manifest: Manifest) -> tuple[Descriptor, bytes]:
    """Write a manifest as one of schema 2, which knows neither annotations nor subjects, nor zstd.

    Raises: InvalidInputError for a layer that schema 2 has no name for.
    """
    for layer in manifest.layers:
        name = media_types.TO_DOCKER.get(layer.media_type, layer.media_type)
        if name not in media_types.TO_OCI or name == media_types.DOCKER_LAYER_ZSTD:  # docker itself reads no such layer
            message = (
                f"cannot write the manifest as schema 2: layer {layer.digest}: {layer.media_type} has no name there"
            )
            raise InvalidInputError(message, hint="`--format oci`, or `--compression-format gzip`")
    bare = [msgspec.structs.replace(layer, annotations=None) for layer in manifest.layers]
    manifest = Manifest(2, msgspec.structs.replace(manifest.config, annotations=None), bare)
    return _written(manifest, media_types.DOCKER_MANIFEST, media_types.TO_DOCKER)


def _written(manifest: Manifest, kind: str, names: Mapping[str, str]) -> tuple[Descriptor, bytes]:
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": kind}
    if manifest.artifact_type is not None:
        document["artifactType"] = manifest.artifact_type
    document["config"] = _descriptor(manifest.config, names)
    document["layers"] = [_descriptor(layer, names) for layer in manifest.layers]
    if manifest.subject is not None:
        document["subject"] = _descriptor(manifest.subject, names)
    if manifest.annotations:
        document["annotations"] = dict(sorted(manifest.annotations.items()))
    data = json.dumps(document).encode("ascii")
    return Descriptor(kind, digest.of(data), len(data)), data


def _descriptor(descriptor: Descriptor, names: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "mediaType": names.get(descriptor.media_type, descriptor.media_type),
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.urls:
        fields["urls"] = descriptor.urls
    if descriptor.annotations:
        fields["annotations"] = dict(sorted(descriptor.annotations.items()))
    return fields
