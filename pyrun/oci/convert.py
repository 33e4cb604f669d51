"""Docker schema 2 manifests as OCI manifests: the same config and layers under the image-spec's names.

It must not know of the store. The store's index.json may only name OCI manifests: skopeo and umoci refuse schema 2
entries in an image layout. Config and layer blobs stay as they are, byte for byte.
"""

from __future__ import annotations

from typing import Any

from pyrun.oci import digest, json, media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest


def to_oci(manifest: Manifest) -> tuple[Descriptor, bytes]:
    """Write a manifest as an OCI manifest: the same input gives the same bytes, and so the same digest.

    ``to_oci(decode_manifest(to_oci(m)[1])) == to_oci(m)``. An OCI manifest keeps its meaning, but not its bytes.
    """
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST}
    if manifest.artifact_type is not None:
        document["artifactType"] = manifest.artifact_type
    document["config"] = _descriptor(manifest.config)
    document["layers"] = [_descriptor(layer) for layer in manifest.layers]
    if manifest.subject is not None:
        document["subject"] = _descriptor(manifest.subject)
    if manifest.annotations:
        document["annotations"] = dict(sorted(manifest.annotations.items()))
    data = json.dumps(document).encode("ascii")
    return Descriptor(media_types.OCI_MANIFEST, digest.of(data), len(data)), data


def _descriptor(descriptor: Descriptor) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "mediaType": media_types.TO_OCI.get(descriptor.media_type, descriptor.media_type),
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.urls:
        fields["urls"] = descriptor.urls
    if descriptor.annotations:
        fields["annotations"] = dict(sorted(descriptor.annotations.items()))
    return fields
