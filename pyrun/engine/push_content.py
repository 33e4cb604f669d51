"""What of an image goes to a registry: documents and blobs, byte for byte as they came where nothing else is asked for.

It must not know registries. A whole index where the store has all of it, else the manifest of one platform: the
original where it was converted for the store. HOT: all but an image's own manifest is push_documents.py's.
"""

from __future__ import annotations

import os

from pyrun.errors import ImageNotFoundError, InvalidInputError, StoreCorruptError
from pyrun.images import resolve
from pyrun.oci import digest as digests
from pyrun.oci import json, media_types
from pyrun.store import blobs, fsio, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from pyrun.oci.platform import Platform
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

    class Described(Protocol):
        """A descriptor, of the typed documents or not."""

        @property
        def media_type(self) -> str: ...
        @property
        def digest(self) -> str: ...
        @property
        def size(self) -> int: ...
        @property
        def annotations(self) -> dict[str, str] | None: ...


FORMATS = {"oci": media_types.OCI_MANIFEST, "v2s2": media_types.DOCKER_MANIFEST}


class Document:
    """A manifest or an index."""

    __slots__ = ("data", "digest", "media_type")

    def __init__(self, media_type: str, data: bytes) -> None:
        self.media_type = media_type
        self.data = data
        self.digest = digests.of(data)


class Blob:
    """A config, or a layer; ``label`` is what docker calls a layer: its diff_id, or its digest where that is not known.

    ``descriptor`` becomes another one where the blob is compressed anew.
    """

    __slots__ = ("descriptor", "diff_id", "is_layer", "label")

    def __init__(self, descriptor: Described, *, diff_id: str = "", is_layer: bool = True) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self.is_layer = is_layer
        self.label = digests.short(diff_id or descriptor.digest)

    @property
    def is_foreign(self) -> bool:
        """Say whether it is a layer that must not be distributed: registries do not have it either."""
        return self.descriptor.media_type in media_types.FOREIGN_LAYERS


class Pointer:
    """A descriptor as a manifest has it, for the plain case."""

    __slots__ = ("annotations", "digest", "media_type", "size")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.media_type: str = document["mediaType"]
        self.digest: str = document["digest"]
        self.size: int = document["size"]
        self.annotations: dict[str, str] | None = None


class Content:
    """Blobs, then documents, the last of which is what the tag will name."""

    __slots__ = ("blobs", "documents")

    def __init__(self, documents: list[Document], blobs: list[Blob]) -> None:
        self.documents = documents
        self.blobs = blobs

    @property
    def digests(self) -> list[str]:
        """All that must not be collected meanwhile."""
        names = [document.digest for document in self.documents]
        for blob in self.blobs:
            names += [blob.descriptor.digest, *([blob.diff_id] if blob.diff_id else [])]
        return names


def content_of(layout: Layout, entry: Entry, name: str, *, platform: Platform | None, kind: str, anew: bool) -> Content:
    """Return what to push of the image that ``entry`` is, ``name`` for the user.

    ``kind``: the media type of the manifest, or empty: as it is. ``anew``: its layers will be compressed anew.
    Raises: NoMatchingPlatformError; StoreCorruptError where a document is missing; InvalidInputError.
    """
    if platform is None and not kind and not anew:
        plain = _plain(layout, entry)
        if plain is not None:
            return plain
    from pyrun.engine import push_documents

    return push_documents.content_of(layout, entry, name, platform=platform, kind=kind, anew=anew)


def _plain(layout: Layout, entry: Entry) -> Content | None:
    """Return an image's own manifest and its blobs; None where a whole index may go instead, or it is not ours."""
    notes = index.notes_of(entry)
    if index.SOURCE_INDEX in notes and _may_be_whole(layout, notes[index.SOURCE_INDEX]):
        return None
    try:
        record = resolve.load_record(layout, entry["digest"])
    except ImageNotFoundError:
        return None
    original = notes.get(index.ORIGINAL, "")
    data = blobs.read(layout, original or entry["digest"])
    manifest = json.loads(data)  # read with care when it was pulled, and its digest is what it was
    diff_ids = {layer["digest"]: layer["diff_id"] for layer in record["layers"]}
    layers = [Blob(Pointer(item), diff_id=diff_ids.get(item["digest"], "")) for item in manifest["layers"]]
    kind = media_types.DOCKER_MANIFEST if original else media_types.OCI_MANIFEST
    return Content([Document(kind, data)], [*layers, Blob(Pointer(manifest["config"]), is_layer=False)])


def _may_be_whole(layout: Layout, listed: str) -> bool:
    """Whether the store has an index and each manifest that it names."""
    try:
        found = json.loads(fsio.read_bytes(layout.blob(listed)))["manifests"]
        return all(blobs.exists(layout, item["digest"]) for item in found)
    except FileNotFoundError:
        return False
    except (ValueError, LookupError, TypeError):
        return True  # it is damaged: who reads it with care says so


def check_size(layout: Layout, descriptor: Described, pull: str) -> None:
    """Make sure that a blob is in the store, as long as it should be; ``pull`` is a name to fetch it again by.

    Raises: StoreCorruptError.
    """
    path = layout.blob(descriptor.digest)
    hint = f"`pyrun pull {pull}` fetches it again" if pull else "pull the image again, from where it came"
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        raise StoreCorruptError(f"blob is missing: {descriptor.digest}", path=path, hint=hint) from None
    if size != descriptor.size:
        reason = f"it has {size} bytes, not {descriptor.size}"
        hint = f"remove {path}; {hint}"
        raise StoreCorruptError(f"blob is corrupt: {descriptor.digest}: {reason}", path=path, hint=hint)


def kind_of(name: str) -> str:
    """Return the media type for a word of ``--format``; empty for none. Raises: InvalidInputError."""
    if name and name not in FORMATS:
        raise InvalidInputError(f"invalid format: {name!r}", hint=f"it is one of {', '.join(FORMATS)}")
    return FORMATS.get(name, "")
