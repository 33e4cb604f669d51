"""Image manifests (OCI and Docker schema 2), and telling a manifest from an index.

It must not know where a document came from. Source: image-spec 1.1 manifest.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pyrun.errors import InvalidConfigError
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor, MediaType
from pyrun.oci.document import decode
from pyrun.oci.index import Index, decode_index


class Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One image: its config and its layers, lowest first."""

    schema_version: Literal[2]
    config: Descriptor
    layers: Annotated[list[Descriptor], msgspec.Meta(min_length=1)]
    media_type: MediaType | None = None
    artifact_type: MediaType | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    @property
    def is_image(self) -> bool:
        """Say whether it is an image that can be run, not another artifact (signature, chart, SBOM)."""
        return self.config.media_type in media_types.CONFIGS


class _Probe(msgspec.Struct, rename="camel"):
    """The fields that tell the kinds of documents apart."""

    schema_version: Any = None
    media_type: Any = None
    manifests: Any = None
    layers: Any = None
    config: Any = None
    fs_layers: Any = None


def decode_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """Decode a manifest or an index; ``media_type`` is the Content-Type or descriptor it came with, or empty.

    Raises:
        InvalidConfigError: not acceptable, of an unknown kind, or of two kinds at once.
    """
    kind = _kind(decode(data, _Probe, "manifest"), media_types.essence(media_type))
    if kind in media_types.INDEXES:
        return decode_index(data)
    return decode(data, Manifest, "image manifest")


def _kind(probe: _Probe, outer: str) -> str:
    inner = probe.media_type
    if inner is not None and not isinstance(inner, str):
        raise InvalidConfigError("manifest", "/mediaType", "expected `str`")
    if outer in media_types.SCHEMA_1 or inner in media_types.SCHEMA_1 or probe.schema_version == 1 or probe.fs_layers:
        hint = "push the image again with a current tool: docker, podman or skopeo"
        raise InvalidConfigError("manifest", "/schemaVersion", "docker schema 1 is not supported", hint=hint)
    # CVE-2021-41190: one digest must not be an index to one reader and a manifest to another.
    if probe.manifests is not None and (probe.layers is not None or probe.config is not None):
        raise InvalidConfigError("manifest", "/manifests", "the document is both an index and a manifest")
    known = media_types.INDEXES | media_types.MANIFESTS
    if outer in known and inner and inner != outer:
        raise InvalidConfigError("manifest", "/mediaType", f"it says {inner}, but it was served as {outer}")
    kind = outer if outer in known else (inner or "")
    if not kind:
        return media_types.OCI_INDEX if probe.manifests is not None else media_types.OCI_MANIFEST
    if kind not in known:
        raise InvalidConfigError("manifest", "/mediaType", f"{kind} is neither a manifest nor an index")
    return kind
