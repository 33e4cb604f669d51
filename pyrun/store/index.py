"""index.json: which manifests the store has, and which tags point at them.

It must not know what a manifest holds. One entry per tag (``org.opencontainers.image.ref.name`` is the whole
reference, as skopeo looks it up) or, for an image without one, a single entry without that annotation.
Readers take no lock: they see one version or the next. Hot: JSON through the C scanner only.
"""

from __future__ import annotations

from pyrun.errors import StoreCorruptError
from pyrun.oci import json
from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.store.layout import Layout

    Entry = dict[str, Any]

REF_NAME = "org.opencontainers.image.ref.name"
CONFIG = "org.pyrun.config.digest"  # the image id
CREATED = "org.pyrun.created"
SIZE = "org.pyrun.size"  # bytes of the layers, unpacked
PLATFORM = "org.pyrun.platform"
REPO_DIGESTS = "org.pyrun.repo.digests"  # NAME@DIGEST of each place it was pulled from, separated by spaces
PUSHED = "org.pyrun.pushed"  # as above, of each place it was pushed to that none of its tags names
ORIGINAL = "org.pyrun.original.digest"  # the byte-exact schema 2 manifest that this one was converted from
SOURCE_INDEX = "org.pyrun.index.digest"  # the index (list) by which it was found
ALL_PLATFORMS = "org.pyrun.index.complete"  # "true": the store has all that this index names


def entries(layout: Layout, *, verified: bool = False) -> list[Entry]:
    """Return the descriptors of index.json; ``verified``: it is there, and is whole. Raises: StoreCorruptError."""
    try:
        data = fsio.read_bytes(layout.index)
        if verified:
            _refuse_damaged(layout, data)
        found: list[Entry] = json.loads(data)["manifests"] or []  # a Go tool's empty list is null
        if not all(map(_is_entry, found)):
            raise ValueError("it has an entry that is none")
    except FileNotFoundError:
        if verified:
            raise _unchanged(layout, "it is missing") from None
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorruptError(
            f"cannot read image index: {layout.index}: {error}",
            path=layout.index,
            hint="`pyrun fsck --repair` makes it again",
        ) from error
    return found


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("digest"), str)
        and isinstance(entry.get("annotations") or {}, dict)
    )


def _refuse_damaged(layout: Layout, data: bytes) -> None:
    from pyrun.store import sealed

    if sealed.is_damaged(data):
        raise _unchanged(layout, "it is damaged: its checksum is another one")


def _unchanged(layout: Layout, why: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"cannot change image index: {layout.index}: {why}",
        path=layout.index,
        hint="`pyrun fsck --repair` makes it again",
    )


def notes_of(entry: Entry) -> dict[str, str]:
    """Return an entry's annotations; an entry that another tool wrote may have none."""
    return entry.get("annotations") or {}


def ref_name(entry: Entry) -> str:
    """Return the reference that an entry is the tag of; empty for one without a tag."""
    return notes_of(entry).get(REF_NAME, "")


def update(layout: Layout, change: Callable[[list[Entry]], list[Entry] | None]) -> None:
    """Re-read, change, write and rename under the lock; ``change`` may alter the list it gets and returns the new one.

    None: nothing is to be written. Where tags moved is appended to refs.log (tag_log.py).
    Raises: StorageFullError; whatever ``change`` raises (nothing is written).
    """
    from pyrun.store import tag_log

    with fsio.FileLock(layout.index_lock, exclusive=True):
        before = entries(layout, verified=True)  # else a flipped bit would get a checksum of its own
        old = _tags(before)
        after = change(before)
        if after is None:
            return
        fsio.write_atomic(layout.index, encoded(after), temporary=f"{layout.tmp}/{owner.token()}", mode=0o644)
        tag_log.append(layout, old, _tags(after))


def encoded(found: list[Entry]) -> bytes:
    """Return the document with these entries, and its checksum: a member that others ignore, as the image-spec asks.

    Another tool that writes index.json drops it, or what it wrote would look damaged: Go keeps only what it knows.
    """
    from pyrun.store import sealed

    return sealed.seal({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": found,
    })  # fmt: skip


def put(found: list[Entry], entry: Entry, reference: str) -> list[Entry]:
    """Return the entries with ``reference`` (may be empty) pointing at ``entry``'s manifest and nowhere else.

    The manifest that the tag pointed at before stays, without a tag if this was its last one: nothing is lost silently.
    """
    digest = entry["digest"]
    kept: list[Entry] = []
    for other in found:
        if reference and ref_name(other) == reference and other["digest"] != digest:
            kept.append(untagged(other))
        elif other["digest"] == digest and ref_name(other) in ("", reference):
            continue
        else:
            kept.append(other)
    shared = dict(notes_of(entry))
    shared.pop(REF_NAME, None)
    _merge_repo_digests(shared, [other for other in found if other["digest"] == digest], is_tagged=bool(reference))
    _name_pushed(shared, reference)
    if not reference and any(other["digest"] == digest for other in kept):
        return _collapse([_with(other, shared) if other["digest"] == digest else other for other in kept])
    kept.append({**entry, "annotations": {**shared, REF_NAME: reference} if reference else shared})
    return _collapse([_with(other, shared) if other["digest"] == digest else other for other in kept])


def untagged(entry: Entry) -> Entry:
    """Return an entry without its tag."""
    rest = {key: value for key, value in notes_of(entry).items() if key != REF_NAME}
    return {**entry, "annotations": rest}


def remove_tag(found: list[Entry], reference: str) -> list[Entry]:
    """Return the entries without a tag; its manifest stays, untagged, if no other tag names it."""
    return _collapse([untagged(entry) if ref_name(entry) == reference else entry for entry in found])


def _with(entry: Entry, shared: dict[str, str]) -> Entry:
    name, own = ref_name(entry), notes_of(entry)
    notes = {**shared, REF_NAME: name} if name else dict(shared)
    if own.get(SOURCE_INDEX) != shared.get(SOURCE_INDEX) and (name or SOURCE_INDEX in own):
        # Two tags may have been found by two indexes that name the same manifest, or one by none: each keeps its own.
        notes.pop(SOURCE_INDEX, None)
        notes.pop(ALL_PLATFORMS, None)
        notes.update((key, own[key]) for key in (SOURCE_INDEX, ALL_PLATFORMS) if key in own)
    return {**entry, "annotations": notes}


def _name_pushed(shared: dict[str, str], reference: str) -> None:
    """Make places where it was pushed to RepoDigests once a tag names them, as if the tag had been there before."""
    pushed = shared.pop(PUSHED, "").split()
    named = [place for place in pushed if place.partition("@")[0] == reference.rpartition(":")[0]]
    if rest := [place for place in pushed if place not in named]:
        shared[PUSHED] = " ".join(rest)
    known = shared.get(REPO_DIGESTS, "").split()
    if new := [place for place in named if place not in known]:
        shared[REPO_DIGESTS] = " ".join([*known, *new])


def _merge_repo_digests(shared: dict[str, str], same: list[Entry], *, is_tagged: bool) -> None:
    found = shared.get(REPO_DIGESTS, "").split()
    for entry in same:
        found += [item for item in notes_of(entry).get(REPO_DIGESTS, "").split() if item not in found]
        notes = notes_of(entry)
        # By which index a tag was found is its own: one that was pulled as a manifest is pushed as that.
        for key in (ORIGINAL, PUSHED) if is_tagged else (ORIGINAL, PUSHED, SOURCE_INDEX):
            if key in notes:
                shared.setdefault(key, notes[key])
        # Another index that names the same manifest being complete says nothing of this one.
        if ALL_PLATFORMS in notes and notes.get(SOURCE_INDEX) == shared.get(SOURCE_INDEX):
            shared[ALL_PLATFORMS] = notes[ALL_PLATFORMS]
    if found:
        shared[REPO_DIGESTS] = " ".join(found)


def _collapse(found: list[Entry]) -> list[Entry]:
    """Drop entries without a tag whose manifest has a tag, or another such entry."""
    tagged = {entry["digest"] for entry in found if ref_name(entry)}
    seen: set[str] = set()
    result = []
    for entry in found:
        if not ref_name(entry):
            if entry["digest"] in tagged or entry["digest"] in seen:
                continue
            seen.add(entry["digest"])
        result.append(entry)
    return result


def _tags(found: list[Entry]) -> dict[str, str]:
    return {ref_name(entry): entry["digest"] for entry in found if ref_name(entry)}
