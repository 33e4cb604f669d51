"""Part of fsck: what is derived from manifests and configs: images/DIGEST, and the annotations of index.json.

It must not know how they are used. Each is derived anew and compared.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrun.engine import fsck_layers, index_rebuild
from pyrun.errors import ImageNotFoundError, InvalidReferenceError, StoreCorruptError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci import json, reference
from pyrun.oci.index import decode_index
from pyrun.store import blobs, fsio, index, sealed

if TYPE_CHECKING:
    from pyrun.engine.fsck import Check
    from pyrun.engine.fsck_documents import Image
    from pyrun.store.index import Entry

_KNOWN = {value for name, value in vars(index).items() if name.isupper() and isinstance(value, str)}
_DERIVED = (index.CONFIG, index.CREATED, index.SIZE, index.PLATFORM)


def check(check: Check) -> None:
    """Check the records of all images, then their entries, then the tags."""
    for image in check.images:
        if image.config is None or image.manifest is None:
            continue
        record = _check_record(check, image)
        if record is not None:
            _check_entries(check, image, record)
        _check_sources(check, image)
    _check_tags(check)


def _check_record(check: Check, image: Image) -> dict[str, Any] | None:
    """Return the record as it should be; None for an image of another tool, which has none until it is run."""
    try:
        found = resolve.load_record(check.layout, image.digest)
        problem = ""
    except ImageNotFoundError:
        if not image.note(index.CONFIG) and image.entries:
            return None
        found, problem = {}, "its record is missing"
    except StoreCorruptError as error:
        found, problem = _put_right(check, image), str(error)
    right = _derive(check, image, found)
    if not problem and found != right:
        names = sorted(key for key in {**found, **right} if found.get(key) != right.get(key))
        problem = f"its record differs from manifest and config: {', '.join(names)}"
    if problem:
        check.findings.add("image", image.digest, problem, lambda: check.mender.record(right))
    return right


def _put_right(check: Check, image: Image) -> dict[str, Any]:
    """Return what a damaged record was if one bit of it has flipped: `keep` cannot be derived."""
    data = sealed.mended(fsio.read_bytes(check.layout.image(image.digest)))
    return sealed.unseal(data) if data is not None else {}


def _derive(check: Check, image: Image, found: dict[str, Any]) -> dict[str, Any]:
    assert image.manifest is not None
    assert image.config is not None
    keep = {image.digest, image.manifest.config.digest, image.note(index.ORIGINAL), image.note(index.SOURCE_INDEX)}
    kept = found.get("keep")
    # A commit keeps less, an image that was pulled twice may keep more: right is what leads to blobs.
    if isinstance(kept, list) and all(isinstance(item, str) and blobs.exists(check.layout, item) for item in kept):
        keep_now = kept
    else:
        keep_now = sorted(filter(None, keep))
    sizes = fsck_layers.measure(check, image, _sizes(found))
    built = records.build(image.digest, image.manifest, image.config, unpacked=sizes, keep=keep_now)
    right: dict[str, Any] = json.loads(json.dumps(built))
    return right


def _sizes(found: dict[str, Any]) -> dict[str, int]:
    try:
        return {layer["diff_id"]: int(layer["unpacked"]) for layer in found["layers"]}
    except (KeyError, TypeError, ValueError):
        return {}


def _check_entries(check: Check, image: Image, record: dict[str, Any]) -> None:
    right = records.index_entry(record, len(image.data), repo_digests=[], extra={})
    for entry in image.entries:
        notes = index.notes_of(entry)
        if not any(key.startswith("org.pyrun.") for key in notes):
            continue  # another tool's
        wrong = [key for key in _DERIVED if notes.get(key) != right["annotations"][key]]
        wrong += [key for key in ("mediaType", "size", "platform") if entry.get(key) != right[key]]
        strange = (notes.keys() - _KNOWN) | (entry.keys() - {*right, "urls", "data", "artifactType"})
        if strange:
            check.findings.add(
                "note", image.digest, f"has members or annotations that pyrun does not write: {', '.join(strange)}"
            )
        if not wrong:
            continue
        name = index.ref_name(entry) or "an entry without a tag"

        def mend() -> str:
            index.update(check.layout, lambda found: [_corrected(other, right) for other in found])
            return "derived again from manifest and config"

        check.findings.add("index", image.digest, f"{name} differs from manifest and config: {', '.join(wrong)}", mend)


def _corrected(entry: Entry, right: Entry) -> Entry:
    if entry["digest"] != right["digest"]:
        return entry
    return {**entry, **right, "annotations": {**index.notes_of(entry), **right["annotations"]}}


def _check_sources(check: Check, image: Image) -> None:
    """Where an image came from: the original of a conversion, the index it was found by, the names it was pulled by."""
    source = image.note(index.SOURCE_INDEX)
    known = {image.digest, image.note(index.ORIGINAL), source}
    if source and blobs.exists(check.layout, source):
        try:
            listed = {item.digest for item in decode_index(blobs.read(check.layout, source)).manifests}
        except (StoreCorruptError, ValueError):
            listed = known
        if not listed & known:
            check.findings.add("index", image.digest, f"is not in the index that it was found by: {source}")
    for place in image.places:
        try:
            parsed = reference.parse_normalized(place) if not place.endswith("@") else None
        except InvalidReferenceError:
            check.findings.add("index", image.digest, f"has an impossible name of where it came from: {place}")
            continue
        if parsed is not None and parsed.digest not in known and not blobs.exists(check.layout, parsed.digest):
            check.findings.add(
                "note", place, "the store does not know this digest: its index was removed, or it is damaged"
            )


def _check_tags(check: Check) -> None:
    """Compare the tags with their history: a flipped bit is not in it, nor is what another tool has written."""
    if not os.path.exists(check.layout.refs_log):
        return
    logged = index_rebuild.last_tags(check.layout)
    try:
        there = {
            index.ref_name(entry): entry["digest"] for entry in index.entries(check.layout) if index.ref_name(entry)
        }
    except StoreCorruptError:
        return
    for tag in sorted(there.keys() - logged.keys()):
        check.findings.add(
            "note", tag, "this tag is not in the history of tags: another tool has set it, or it is damaged"
        )
    for tag in sorted(logged.keys() - there.keys()):
        check.findings.add(
            "note",
            tag,
            "this tag is in the history of tags, but not in index.json: another tool has removed it, or it is damaged",
        )
