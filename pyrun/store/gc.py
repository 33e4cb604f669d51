"""Garbage collection: what no tag, container or live lease needs is renamed into trash/ and removed there.

It must not know why something became garbage. gc.lock is exclusive only for mark and renames; the removal of the files
needs no lock. Cold: called by rmi and prune.
"""

from __future__ import annotations

import os

from pyrun.errors import PyrunError, is_no_answer
from pyrun.oci import json
from pyrun.store import containers, fsio, index, leases, manifest_lists, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.store.layout import Layout

MAX_MANIFEST_BYTES = 4 * 1024 * 1024


class Collected:
    """What a collection took: digests of manifests, of blobs and layers (diff_ids)."""

    __slots__ = ("blobs", "images", "layers")

    def __init__(self) -> None:
        self.images: list[str] = []
        self.blobs: list[str] = []
        self.layers: list[str] = []


def collect(layout: Layout, before: Callable[[], None] | None = None) -> Collected:
    """Mark from the roots, sweep the rest; ``before`` runs first under the exclusive lock (rmi: check and untag).

    Crash-safe at any instant: a half-done sweep leaves garbage that the next one finds.
    """
    collected = Collected()
    graves: list[str] = []
    with fsio.FileLock(layout.gc_lock, exclusive=True):
        if before is not None:
            before()
        alive = _mark(layout)
        # Records first: an image must never have a record without its layers.
        for manifest in os.listdir(layout.images):
            if manifest not in alive:
                _bury(layout, layout.image(manifest), graves, collected.images, manifest)
        for path, digest in _digests_below(layout.layers):
            if digest not in alive:
                _bury(layout, path, graves, collected.layers, digest)
        for path, digest in _digests_below(layout.blobs):
            if digest not in alive:
                _bury(layout, path, graves, collected.blobs, digest)
    for grave in graves:
        trees.remove_tree(grave)
    return collected


def needed(layout: Layout) -> set[str]:
    """Return the digests (manifests, blobs, layers) that a collection at this moment would leave."""
    return _mark(layout)


def _mark(layout: Layout) -> set[str]:
    alive = leases.held(layout)
    manifests = manifest_lists.local_manifests(layout)
    for entry in index.entries(layout):
        manifests.add(entry["digest"])
        notes = index.notes_of(entry)
        alive.update(notes[key] for key in (index.ORIGINAL, index.SOURCE_INDEX, index.CONFIG) if key in notes)
    for _, path in containers.list(layout):
        try:
            manifests.add(containers.load(path).get("manifest") or "")
        except PyrunError:
            continue  # removed meanwhile, or unreadable: its lower directories cannot be known
    # A lease may name manifests too: what they need is needed.
    for manifest in manifests | alive:
        alive.add(manifest)
        alive.update(_needs(layout, manifest))
    return alive


def _needs(layout: Layout, manifest: str) -> set[str]:
    """Return config, layers and diff_ids of an image: from its record, else (foreign tools) from the manifest."""
    try:
        record = json.loads(fsio.read_bytes(layout.image(manifest)))
        found = {record["image_id"], *record.get("keep", ())}
        for layer in record["layers"]:
            found.update((layer["digest"], layer["diff_id"]))
        return found
    except (ValueError, KeyError):
        pass
    except OSError as error:
        if is_no_answer(error):
            raise  # what it needs would be taken for garbage
    try:
        if os.stat(layout.blob(manifest)).st_size > MAX_MANIFEST_BYTES:
            return set()  # a layer that a lease names
        document = json.loads(fsio.read_bytes(layout.blob(manifest)))
        return {item["digest"] for item in [document["config"], *document["layers"]]}
    except (ValueError, KeyError, TypeError):
        return set()
    except OSError as error:
        if is_no_answer(error):
            raise
        return set()


def _digests_below(parent: str) -> list[tuple[str, str]]:
    found = []
    for algorithm in os.listdir(parent):
        found += [
            (f"{parent}/{algorithm}/{name}", f"{algorithm}:{name}") for name in os.listdir(f"{parent}/{algorithm}")
        ]
    return found


def _bury(layout: Layout, path: str, graves: list[str], names: list[str], name: str) -> None:
    grave = f"{layout.trash}/{owner.token()}"
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return
    graves.append(grave)
    names.append(name)
