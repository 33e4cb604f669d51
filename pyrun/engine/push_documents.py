"""What of an image goes to a registry, where more than the image's own manifest is asked for: a whole index, another
platform, another format, layers compressed anew.

It must not know registries. The plain case is push_content.py's.
"""

from __future__ import annotations

import msgspec

from pyrun.engine import index_parts
from pyrun.engine.push_content import Blob, Content, Document
from pyrun.errors import InvalidConfigError, NoMatchingPlatformError
from pyrun.oci import convert, media_types
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


def content_of(layout: Layout, entry: Entry, name: str, *, platform: Platform | None, kind: str, anew: bool) -> Content:
    """Return what to push; arguments and Raises: as of `push_content.content_of`."""
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
    content = Content([document], _blobs(layout, manifest))
    if kind and kind != document.media_type:
        rewrite(content, kind)
    return content


def rewrite(content: Content, kind: str) -> None:
    """Write the manifest anew, of a media type, with the blobs' descriptors as they are now."""
    (document,) = content.documents
    manifest = decode_manifest(document.data, document.media_type)
    assert isinstance(manifest, Manifest)
    layers = [_typed(blob) for blob in content.blobs if blob.is_layer]
    manifest = msgspec.structs.replace(manifest, layers=layers)
    descriptor, data = convert.to_docker(manifest) if kind == media_types.DOCKER_MANIFEST else convert.to_oci(manifest)
    content.documents = [Document(descriptor.media_type, data)]


def _typed(blob: Blob) -> Descriptor:
    assert isinstance(blob.descriptor, Descriptor)
    return blob.descriptor


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
