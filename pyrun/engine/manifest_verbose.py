"""`manifest inspect --verbose`: docker's description of each manifest under a name. It must not print.

Source: docker/cli cli/manifest/types.ImageManifest.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

from pyrun.engine.remote import Repository
from pyrun.oci import json, media_types
from pyrun.oci.config import decode_config
from pyrun.oci.index import Index
from pyrun.oci.manifest import decode_manifest

if TYPE_CHECKING:
    from pyrun.engine.remote import Access
    from pyrun.oci.descriptor import Descriptor


def describe(text: str, access: Access) -> Any:
    """Return docker's object of an image, or a list of them for an index. Raises: RegistryError and its kinds."""
    with Repository(text, access) as repository:
        top, data = repository.resolve()
        document = decode_manifest(data, top.media_type)
        if isinstance(document, Index):
            return [_object(repository, item, repository.manifest(item)) for item in document.manifests]
        return _object(repository, top, data)


def _object(repository: Repository, descriptor: Descriptor, data: bytes) -> dict[str, Any]:
    manifest = decode_manifest(data, descriptor.media_type)
    platform: dict[str, Any] = {}
    if descriptor.platform is not None:
        platform = {"architecture": descriptor.platform.architecture, "os": descriptor.platform.os}
        if descriptor.platform.variant:
            platform["variant"] = descriptor.platform.variant
    elif not isinstance(manifest, Index) and manifest.is_image:
        config = decode_config(repository.client.blob_bytes(repository.path, manifest.config))
        platform = {"architecture": config.architecture, "os": config.os}
    kind = "SchemaV2Manifest" if descriptor.media_type == media_types.DOCKER_MANIFEST else "OCIManifest"
    return {
        "Ref": f"{repository.name}@{descriptor.digest}",
        "Descriptor": {
            "mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size,
            "platform": platform,
        },
        "Raw": b2a_base64(data, newline=False).decode("ascii"),
        kind: json.loads(data),
    }  # fmt: skip
