"""Image indexes (and Docker's manifest lists): one manifest per platform.

It must not know how a platform is chosen (platform.py). Source: image-spec 1.1 image-index.md.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pyrun.oci.descriptor import Descriptor, MediaType
from pyrun.oci.document import decode


class Index(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A list of manifests; ``media_type`` is empty where the document names none."""

    schema_version: Literal[2]
    manifests: list[Descriptor]
    media_type: MediaType | None = None
    artifact_type: MediaType | None = None
    annotations: dict[str, str] | None = None
    subject: Descriptor | None = None


def decode_index(data: bytes) -> Index:
    """Decode an index whose kind is already known.

    Raises:
        InvalidConfigError: with the JSON pointer of the field that is wrong.
    """
    return decode(data, Index, "image index")
