"""Descriptors: the typed, sized, digested pointers that images are made of.

It must not know how their content is fetched. Source: image-spec 1.1 descriptor.md.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pyrun.oci.document import DIGEST_PATTERN, MEDIA_TYPE_PATTERN, URI_PATTERN, decode

Digest = Annotated[str, msgspec.Meta(pattern=DIGEST_PATTERN)]
MediaType = Annotated[str, msgspec.Meta(pattern=MEDIA_TYPE_PATTERN)]
Uri = Annotated[str, msgspec.Meta(pattern=URI_PATTERN)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class PlatformFields(msgspec.Struct, frozen=True, rename={"os_version": "os.version", "os_features": "os.features"}):
    """What an index says about the platform of an entry (image-index.md); compared in platform.py."""

    architecture: str
    os: str
    variant: str | None = None
    os_version: str | None = None
    os_features: list[str] | None = None


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A pointer to content: ``size`` in bytes; ``data`` is the content itself, where it is embedded."""

    media_type: MediaType
    digest: Digest
    size: Size
    urls: list[Uri] | None = None
    annotations: dict[str, str] | None = None
    data: bytes | None = None
    artifact_type: MediaType | None = None
    platform: PlatformFields | None = None


class ImageLayout(msgspec.Struct, frozen=True, rename="camel"):
    """The file ``oci-layout`` (image-layout.md)."""

    image_layout_version: Annotated[str, msgspec.Meta(pattern=r"\A1\.[0-9]+\.[0-9]+\Z")]


def decode_image_layout(data: bytes) -> ImageLayout:
    """Decode the file ``oci-layout``.

    Raises:
        InvalidConfigError: not a layout of version 1.
    """
    return decode(data, ImageLayout, "oci-layout")
