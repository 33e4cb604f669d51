"""What of an image goes to a registry: the documents, byte for byte as they came where nothing else was asked for.

It must not know registries. A whole index where the store has all of it, else the manifest of one platform: the
original where it was converted for the store.
"""

from __future__ import annotations

import os

from pyrun.engine import index_parts
from pyrun.errors import InvalidConfigError, InvalidInputError, NoMatchingPlatformError, StoreCorruptError
from pyrun.oci import convert, media_types
from pyrun.oci import digest as digests
from pyrun.oci.config import decode_config, layers_of
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, acceptable, best_match
from pyrun.store import blobs, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

FORMATS = {"oci": media_types.OCI_MANIFEST, "v2s2": media_types.DOCKER_MANIFEST}
_FOREIGN = frozenset(
    {
        media_types.OCI_FOREIGN_LAYER,
        media_types.OCI_FOREIGN_LAYER_GZIP,
        media_types.DOCKER_FOREIGN_LAYER,
        media_types.DOCKER_FOREIGN_LAYER_GZIP,
    }
)


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

    def __init__(self, descriptor: Descriptor, *, diff_id: str = "", is_layer: bool = True) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self.is_layer = is_layer
        self.label = (diff_id or descriptor.digest).partition(":")[2][:12]

    @property
    def is_foreign(self) -> bool:
        """Say whether it is a layer that must not be distributed: registries do not have it either."""
        return self.descriptor.media_type in _FOREIGN


class Content:
    """Blobs, then documents, the last of which is what the tag will name. ``manifest``: set where there is but one."""

    __slots__ = ("blobs", "documents", "manifest")

    def __init__(self, documents: list[Document], blobs: list[Blob], manifest: Manifest | None = None) -> None:
        self.documents = documents
        self.blobs = blobs
        self.manifest = manifest

    @property
    def digests(self) -> list[str]:
        """All that must not be collected meanwhile."""
        names = [document.digest for document in self.documents]
        for blob in self.blobs:
            names += [blob.descriptor.digest, *([blob.diff_id] if blob.diff_id else [])]
        return names

    def rewrite(self, kind: str) -> None:
        """Write the manifest anew, of a media type, with the blobs' descriptors as they are now."""
        import msgspec

        assert self.manifest is not None
        layers = [blob.descriptor for blob in self.blobs if blob.is_layer]
        manifest = msgspec.structs.replace(self.manifest, layers=layers)
        descriptor, data = (
            convert.to_docker(manifest) if kind == media_types.DOCKER_MANIFEST else convert.to_oci(manifest)
        )
        self.documents = [Document(descriptor.media_type, data)]


def content_of(layout: Layout, entry: Entry, name: str, *, platform: Platform | None, kind: str, anew: bool) -> Content:
    """Return what to push of the image that ``entry`` is, ``name`` for the user.

    ``kind``: the media type of the manifest, or empty: as it is. ``anew``: its layers will be compressed anew.
    Raises: NoMatchingPlatformError; StoreCorruptError where a document is missing; InvalidInputError.
    """
    notes = index.notes_of(entry)
    listed = notes.get(index.SOURCE_INDEX, "")
    if listed and platform is None and not kind and not anew:
        whole = _whole_index(layout, listed)
        if whole is not None:
            return whole
    chosen = entry["digest"] if anew else notes.get(index.ORIGINAL) or entry["digest"]
    if platform is not None:
        chosen = _for_platform(layout, entry, listed, name, platform) or chosen
    document, manifest = _manifest(layout, chosen)
    content = Content([document], _blobs(layout, manifest), manifest)
    if kind and kind != document.media_type:
        content.rewrite(kind)
    return content


def _whole_index(layout: Layout, listed: str) -> Content | None:
    """Return an index with all that it names; None where the store does not have every manifest and config."""
    if not blobs.exists(layout, listed):
        return None
    data = blobs.read(layout, listed)
    document = decode_manifest(data)
    assert isinstance(document, Index)
    found = index_parts.parts(document, lambda item: index_parts.stored(layout, item))
    if found is None or not all(blobs.exists(layout, config.digest) for config in found.configs):
        return None
    content = Content([], [])
    for part in reversed([*found.manifests.values()]):  # what is named before what names it
        inner = decode_manifest(part)
        content.documents.append(Document(_kind(inner), part))
        if isinstance(inner, Manifest):
            content.blobs += _blobs(layout, inner)
    content.documents.append(Document(_kind(document), data))
    return content


def _kind(document: Manifest | Index) -> str:
    is_index = isinstance(document, Index)
    return document.media_type or (media_types.OCI_INDEX if is_index else media_types.OCI_MANIFEST)


def _for_platform(layout: Layout, entry: Entry, listed: str, name: str, wanted: Platform) -> str:
    """Return the digest of the manifest for a platform; empty: it is the entry's own."""
    there = entry.get("platform") or {}
    own = Platform(there.get("os", ""), there.get("architecture", ""), there.get("variant", ""))
    if own == wanted:
        return ""
    if listed and blobs.exists(layout, listed):
        document = decode_manifest(blobs.read(layout, listed))
        assert isinstance(document, Index)
        best = best_match((item for item in document.manifests if blobs.exists(layout, item.digest)), wanted)
        if best is not None and best.platform is not None:
            return best.digest
    if own in acceptable(wanted):
        return ""
    message = f"no image for {wanted}: {name}: there is {own} in the store"
    raise NoMatchingPlatformError(message, registry="", hint=f"`pyrun pull --platform {wanted} {name}` fetches it")


def _manifest(layout: Layout, digest: str) -> tuple[Document, Manifest]:
    data = blobs.read(layout, digest)
    found = decode_manifest(data)
    if not isinstance(found, Manifest):
        raise InvalidConfigError("image manifest", "/mediaType", f"{digest} is an index")
    return Document(_kind(found), data), found


def _blobs(layout: Layout, manifest: Manifest) -> list[Blob]:
    """Return layers and config, each once."""
    diff_ids: dict[str, str] = {}
    if manifest.is_image and blobs.exists(layout, manifest.config.digest):
        config = decode_config(blobs.read(layout, manifest.config.digest))
        diff_ids = {layer.digest: diff_id for layer, diff_id in layers_of(manifest, config)}
    layers = [Blob(layer, diff_id=diff_ids.get(layer.digest, "")) for layer in manifest.layers]
    return [*layers, Blob(manifest.config, is_layer=False)]


def check_size(layout: Layout, descriptor: Descriptor, pull: str) -> None:
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
