"""Which manifest of an index in the store a platform gets, read without the typed documents: they take as long to load
as a registry to answer.

It must not decide for good: what cannot be read here is read with care elsewhere. HOT.
"""

from __future__ import annotations

from pyrun.oci import json
from pyrun.oci.platform import best_match
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.oci.platform import Platform
    from pyrun.store.layout import Layout


class _Fields:
    __slots__ = ("architecture", "os", "variant")

    def __init__(self, document: dict[str, Any]) -> None:
        self.os: str = document["os"]
        self.architecture: str = document["architecture"]
        self.variant: str | None = document.get("variant")


class _Entry:
    __slots__ = ("digest", "platform")

    def __init__(self, document: dict[str, Any]) -> None:
        self.digest: str = document["digest"]
        self.platform = _Fields(document["platform"]) if document.get("platform") else None


def chosen(layout: Layout, index_digest: str, wanted: Platform) -> str:
    """Return the digest of the manifest for a platform, as pull chooses it; empty if that cannot be told."""
    try:
        document = json.loads(fsio.read_bytes(layout.blob(index_digest)))
        entry = best_match([_Entry(item) for item in document["manifests"]], wanted)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return entry.digest if entry is not None else ""
