"""A new index.json, from the images' records and the history of tags, where the old one cannot be read.

It must not know why. One flipped bit is put right by the checksum; after more, what only index.json knew is lost.
"""

from __future__ import annotations

import os

from pyrun.engine import judgement
from pyrun.errors import PyrunError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci import convert, digest
from pyrun.oci.index import Index
from pyrun.oci.manifest import decode_manifest
from pyrun.store import blobs, fsio, index, sealed, tag_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.engine.mending import Mender
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


def rebuild(layout: Layout, mender: Mender) -> str:
    """Write index.json anew, the old one kept; return what was done. Raises: StorageFullError."""
    with fsio.FileLock(layout.index_lock, exclusive=True):
        right = sealed.mended(_bytes(layout.index))
        if right is not None:
            mender.file(layout.index, right, "index.json", mode=0o644)
            return f"the one bit that had flipped is put right, the damaged one is in {layout.quarantine}"
        found = _from_records(layout)
        mender.file(layout.index, index.encoded(found), "index.json", mode=0o644)
    number = len({entry["digest"] for entry in found})
    return f"made again from {number} images and the history of tags, the damaged one is in {layout.quarantine}"


def _from_records(layout: Layout) -> list[Entry]:
    tags = last_tags(layout)
    found: list[Entry] = []
    for name in sorted(os.listdir(layout.images)):
        try:
            record = resolve.load_record(layout, name)
            entry = _entry(layout, record)
        except (PyrunError, OSError, KeyError, TypeError, ValueError):
            continue  # its record is damaged, too: `fsck` makes it anew where a tag leads to it
        here = [tag for tag, manifest in tags.items() if manifest == name]
        for tag in here or [""]:
            found = index.put(found, entry, tag)
    known = {entry["digest"] for entry in found}
    for tag, manifest in tags.items():
        if manifest not in known and blobs.exists(layout, manifest):
            size = os.stat(layout.blob(manifest)).st_size
            bare = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size}
            found = index.put(found, bare, tag)
    return found


def _bytes(path: str) -> bytes:
    try:
        return fsio.read_bytes(path)
    except FileNotFoundError:
        return b""


def last_tags(layout: Layout) -> dict[str, str]:
    """Return where each tag pointed last, from refs.log."""
    tags: dict[str, str] = {}
    for _, name, _, new in tag_log.moves(layout):
        if digest.is_well_formed(new):
            tags[name] = new
        else:
            tags.pop(name, None)
    return tags


def _entry(layout: Layout, record: dict[str, object]) -> Entry:
    manifest = str(record["manifest"])
    extra: dict[str, str] = {}
    keep = record["keep"]
    assert isinstance(keep, list)
    for other in keep:
        if other in (manifest, record["image_id"]) or not blobs.exists(layout, other):
            continue
        document = decode_manifest(blobs.read(layout, other))
        if isinstance(document, Index):
            extra[index.SOURCE_INDEX] = other
        elif convert.to_oci(document)[0].digest == manifest:
            extra[index.ORIGINAL] = other
    original = extra.get(index.ORIGINAL, manifest)
    digests = dict.fromkeys([extra.get(index.SOURCE_INDEX, original), original])
    places = [f"{name}@{item}" for name in judgement.repositories(layout, manifest) for item in digests]
    return records.index_entry(record, os.stat(layout.blob(manifest)).st_size, repo_digests=places, extra=extra)
