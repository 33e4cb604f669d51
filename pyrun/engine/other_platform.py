"""Images of other platforms than the one that is unpacked: one of them, or a whole index.

It must not know what is done with them. The store has their blobs, where all platforms were pulled, and no record.
"""

from __future__ import annotations

from pyrun.engine.layer_sizes import LayerSizes
from pyrun.errors import NoMatchingPlatformError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci import convert, media_types
from pyrun.oci.config import decode_config, layers_of
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, best_match
from pyrun.store import blobs, dropped, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.push_content import Content
    from pyrun.store.layout import Layout


class OtherPlatform:
    """Its entry and record, as if it was the one that is unpacked; ``documents``: what the store has not, by digest."""

    __slots__ = ("documents", "entry", "record")

    def __init__(self, entry: index.Entry, record: dict[str, Any], documents: dict[str, bytes]) -> None:
        self.entry = entry
        self.record = record
        self.documents = documents


def find(layout: Layout, entry: index.Entry, wanted: Platform) -> OtherPlatform | None:
    """Return the image for a platform from the index that ``entry`` came from; None where not all of it is here.

    Raises: StoreCorruptError; InvalidConfigError.
    """
    source = index.notes_of(entry).get(index.SOURCE_INDEX, "")
    if not source or not blobs.exists(layout, source):
        return None
    document = decode_manifest(blobs.read(layout, source))
    if not isinstance(document, Index):
        return None
    found = best_match([item for item in document.manifests if blobs.exists(layout, item.digest)], wanted)
    manifest = decode_manifest(blobs.read(layout, found.digest), found.media_type) if found is not None else None
    if found is None or not isinstance(manifest, Manifest):
        return None
    if not all(dropped.is_there_or_dropped(layout, item.digest) for item in (manifest.config, *manifest.layers)):
        return None
    return _described(layout, found, manifest)


def record_for(layout: Layout, entry: index.Entry, record: dict[str, Any], text: str, platform: str) -> dict[str, Any]:
    """Return the record of an image for a platform: its own if it is for that, else of another one that is here.

    Raises: NoMatchingPlatformError, and as `find`.
    """
    try:
        resolve.require_platform(record, text, platform)
    except NoMatchingPlatformError:
        other = find(layout, entry, Platform.parse(platform))
        if other is None:
            raise
        return other.record
    return record


def whole(layout: Layout, entry: index.Entry, name: str) -> Content | None:
    """Return the index that ``entry`` came from and all that it names; None where not all of it is here.

    None as well where something of it is of docker's media types: skopeo and umoci refuse those in an OCI layout.
    Raises: StoreCorruptError; InvalidConfigError.
    """
    if not index.notes_of(entry).get(index.ALL_PLATFORMS):
        return None
    from pyrun.engine import push_documents

    content = push_documents.content_of(layout, entry, name, platform=None, kind="", anew=False)
    is_index = content.documents[-1].media_type == media_types.OCI_INDEX
    is_oci = all(item.media_type in (media_types.OCI_INDEX, media_types.OCI_MANIFEST) for item in content.documents)
    return content if is_index and is_oci else None


def _described(layout: Layout, found: Descriptor, manifest: Manifest) -> OtherPlatform:
    config = decode_config(blobs.read(layout, manifest.config.digest))
    notes, documents = {}, {}
    descriptor = found
    if media_types.DOCKER_MANIFEST in (found.media_type, manifest.media_type):
        notes[index.ORIGINAL] = found.digest
        descriptor, data = convert.to_oci(manifest)
        documents[descriptor.digest] = data
    # What is not unpacked has no other size than its blob's.
    unpacked = LayerSizes(layout)
    sizes = {
        diff_id: unpacked.known[diff_id] if unpacked.has(diff_id) else layer.size
        for layer, diff_id in layers_of(manifest, config)
    }
    record = records.build(descriptor.digest, manifest, config, unpacked=sizes, keep=[])
    return OtherPlatform(records.index_entry(record, descriptor.size, repo_digests=[], extra=notes), record, documents)
