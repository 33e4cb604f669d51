"""Part of fsck: index.json, and the manifests, indexes and configs that it leads to.

It must not know layers' files. What it can read becomes `Image`s for the other parts.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyrun.engine import index_rebuild
from pyrun.errors import ContainerNotFoundError, PyrunError, StorageFullError, StoreCorruptError
from pyrun.oci import convert, json, media_types
from pyrun.oci import digest as digests
from pyrun.oci.config import ImageConfig, decode_config, layers_of
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.store import blobs, containers, fsio, index, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyrun.engine.fsck import Check
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout
    from pyrun.store.leases import Lease


class Image:
    """One manifest of the store. ``entries``: those of index.json that name it, none for one a container has kept.

    ``manifest`` and ``config`` are None where they cannot be read. ``layers``: descriptor and diff_id, lowest first.
    """

    __slots__ = ("config", "data", "digest", "entries", "layers", "manifest")

    def __init__(self, digest: str, entries: list[Entry]) -> None:
        self.digest = digest
        self.entries = entries
        self.data = b""
        self.manifest: Manifest | None = None
        self.config: ImageConfig | None = None
        self.layers: list[tuple[Descriptor, str]] = []

    @property
    def places(self) -> list[str]:
        """NAME@DIGEST of each place it was pulled from; where none is known, where its tags say that it could be."""
        known = [place for entry in self.entries for place in index.notes_of(entry).get(index.REPO_DIGESTS, "").split()]
        # What is fetched is verified: a tag that was only ever given here costs a question.
        return known or [
            f"{index.ref_name(entry).rpartition(':')[0]}@" for entry in self.entries if index.ref_name(entry)
        ]

    def note(self, key: str) -> str:
        """Return an annotation that all its entries share."""
        return next((index.notes_of(entry)[key] for entry in self.entries if key in index.notes_of(entry)), "")


def check(check: Check, lease: Lease | None) -> None:
    """Read index.json and the documents; fill ``check.images``; lease what they need."""
    found = _entries(check)
    by_digest: dict[str, list[Entry]] = {}
    for entry in found:
        by_digest.setdefault(entry["digest"], []).append(entry)
    kept: dict[str, list[Entry]] = {record: [] for record in _manifests_of_containers(check)}
    for digest, entries in {**kept, **by_digest}.items():
        image = Image(digest, entries)
        keep = [digest, image.note(index.ORIGINAL), image.note(index.SOURCE_INDEX), image.note(index.CONFIG)]
        _keep(lease, filter(None, keep))
        _read(check, image, lease)
        check.images.append(image)


def _entries(check: Check) -> list[Entry]:
    layout = check.layout
    try:
        found = index.entries(layout)
        problem = "" if os.path.exists(layout.index) else "is missing"
        if not problem and sealed.is_damaged(fsio.read_bytes(layout.index)):
            problem = "is damaged: its checksum is another one"
        problem = problem or _head_problem(layout) or next((text for text in map(_entry_problem, found) if text), "")
        problem = problem or _lost_tag(layout, found)
    except StoreCorruptError as error:
        found, problem = [], str(error)
    if not problem:
        return found
    is_mended = check.findings.add("index", "index.json", problem, lambda: index_rebuild.rebuild(layout, check.mender))
    if is_mended:
        return index.entries(layout)
    return [entry for entry in found if not _entry_problem(entry)]


def _head_problem(layout: Layout) -> str:
    document = json.loads(fsio.read_bytes(layout.index))
    if document.get("schemaVersion") != 2 or document.get("mediaType", media_types.OCI_INDEX) != media_types.OCI_INDEX:
        return "is no image index of schema version 2"
    strange = document.keys() - {
        "schemaVersion",
        "mediaType",
        "manifests",
        "annotations",
        "artifactType",
        "subject",
        sealed.MEMBER,
    }
    return f"has members that no image index has: {', '.join(sorted(strange))}" if strange else ""


def _lost_tag(layout: Layout, found: list[Entry]) -> str:
    """A tag whose manifest is not there, while the one that it was last set to is."""
    logged = index_rebuild.last_tags(layout)
    for entry in found:
        right: str = logged.get(index.ref_name(entry)) or entry["digest"]
        if right != entry["digest"] and blobs.exists(layout, right) and not blobs.exists(layout, entry["digest"]):
            return f"{index.ref_name(entry)} leads to {entry['digest']}, not to {right}, which it was set to last"
    return ""


def _entry_problem(entry: Any) -> str:
    """Say why an entry cannot be used at all."""
    if not isinstance(entry, dict) or not isinstance(entry.get("digest"), str):
        return "has an entry without a digest"
    if (
        not entry["digest"].startswith("sha256:")
        or not digests.is_well_formed(entry["digest"])
        or not isinstance(entry.get("size"), int)
    ):
        return f"has an entry with an impossible digest or size: {entry['digest']}"
    notes = entry.get("annotations") or {}
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        return f"has an entry with impossible annotations: {entry['digest']}"
    return ""


def _manifests_of_containers(check: Check) -> list[str]:
    found = []
    for _, path in containers.list(check.layout):
        try:
            manifest = containers.load(path).get("manifest")
        except (ContainerNotFoundError, StoreCorruptError):
            continue  # fsck_containers tells
        if isinstance(manifest, str) and digests.is_well_formed(manifest):
            found.append(manifest)
    return found


def _read(check: Check, image: Image, lease: Lease | None) -> None:
    if any(entry.get("mediaType") in media_types.INDEXES for entry in image.entries):
        document(check, image.digest, image.places)  # another tool's, or a list that was made here
        return
    original = image.note(index.ORIGINAL)
    if original:
        document(check, original, image.places)
    if image.note(index.SOURCE_INDEX):
        document(check, image.note(index.SOURCE_INDEX), image.places)
    data = document(check, image.digest, image.places, _conversion(check, original, image.digest))
    if data is None:
        return
    try:
        manifest = decode_manifest(data)
    except PyrunError as error:
        check.findings.add("image", image.digest, f"its manifest cannot be read: {error}")
        return
    if isinstance(manifest, Index) or not manifest.is_image:
        return
    image.data, image.manifest = data, manifest
    wanted = [manifest.config.digest, *(layer.digest for layer in manifest.layers)]
    _keep(lease, wanted)
    _read_config(check, image, manifest)
    _keep(lease, [diff_id for _, diff_id in image.layers])


def _keep(lease: Lease | None, names: Iterable[str]) -> None:
    """Keep what is being checked from being collected; on a full disk it is checked without."""
    if lease is not None:
        with suppress(StorageFullError):
            lease.add(names)


def _read_config(check: Check, image: Image, manifest: Manifest) -> None:
    data = document(
        check, manifest.config.digest, image.places, mend=lambda: check.mender.config(manifest.config, image.places)
    )
    if data is None:
        return
    try:
        image.config = decode_config(data)
        image.layers = layers_of(manifest, image.config)
    except PyrunError as error:
        image.config = None
        check.findings.add("image", image.digest, f"its config does not fit its manifest: {error}")


def _conversion(check: Check, original: str, digest: str) -> Callable[[], bytes] | None:
    """Return how a manifest is made from the schema 2 one that it was converted from, if it was."""
    if not original:
        return None

    def make() -> bytes:
        document = decode_manifest(blobs.read(check.layout, original))
        if isinstance(document, Index):
            raise StoreCorruptError(f"no image manifest: {original}", path=check.layout.blob(original))
        _, data = convert.to_oci(document)
        digests.verify(data, digest, f"manifest converted from {original}")
        return data

    return make


def document(
    check: Check, digest: str, places: list[str], make: Callable[[], bytes] | None = None,
    mend: Callable[[], str] | None = None,
) -> bytes | None:  # fmt: skip
    """Read and verify a small blob, mended first if need be; None: it cannot be had."""
    try:
        return blobs.read(check.layout, digest)
    except StoreCorruptError:
        path = check.layout.blob(digest)
        problem = "is damaged: its bytes have another digest" if os.path.exists(path) else "is missing"
    mend = mend or (lambda: check.mender.document(digest, places, make))
    if not check.findings.add("blob", digest, problem, mend):
        return None
    return blobs.read(check.layout, digest)
