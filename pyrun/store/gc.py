"""Garbage collection: what no tag, container or live lease needs is renamed into trash/ and removed there.

It must not know why something became garbage. gc.lock is exclusive only for mark and renames; the removal of the files
needs no lock. Cold: called by rmi and prune.
"""

from __future__ import annotations

import os

from pyrun.errors import ContainerNotFoundError, StoreCorruptError, is_no_answer
from pyrun.oci import json
from pyrun.store import containers, dropped, fsio, image_mounts, index, leases, manifest_lists, owner, sealed, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pyrun.store.layout import Layout

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_DEPTH = 4  # of indexes within indexes: what a pull takes in (engine/index_parts.py)


class Collected:
    """What a collection took: digests of manifests, of blobs and layers (diff_ids); ``graves``: where it is now."""

    __slots__ = ("blobs", "graves", "images", "layers")

    def __init__(self) -> None:
        self.images: list[str] = []
        self.blobs: list[str] = []
        self.layers: list[str] = []
        self.graves: list[str] = []


def collect(layout: Layout, before: Callable[[], None] | None = None) -> Collected:
    """Mark from the roots, sweep the rest; ``before`` runs first under the exclusive lock (rmi: check and untag).

    Crash-safe at any instant: a half-done sweep leaves garbage that the next one finds.
    """
    collected = bury(layout, before)
    trees.remove_all(collected.graves)
    return collected


def bury(layout: Layout, before: Callable[[], None] | None = None) -> Collected:
    """Do as `collect`, and leave what was taken in trash/, to be measured and removed by the caller."""
    collected = Collected()
    graves = collected.graves
    with fsio.FileLock(layout.gc_lock, exclusive=True):
        manifest_lists.local_manifests(layout)  # one that cannot be read stops us: before anything has changed
        if before is not None:
            before()
        alive = _mark(layout)
        # Records first: an image must never have a record without its layers.
        for manifest in os.listdir(layout.images):
            if manifest not in alive:
                _bury(layout, layout.image(manifest), graves, collected.images, manifest)
        for name in _signatures(layout):
            if name.partition(".")[0] not in alive:
                fsio.unlink_quietly(f"{layout.signatures}/{name}")
        for path, digest in _digests_below(layout.layers):
            if digest not in alive:
                _bury(layout, path, graves, collected.layers, digest)
        for path, digest in _digests_below(layout.blobs):
            if digest not in alive:
                _bury(layout, path, graves, collected.blobs, digest)
        dropped.forget_all_but(layout, alive)
    return collected


def drop_blobs(layout: Layout, choose: Callable[[], Mapping[str, Sequence[str]]]) -> Collected:
    """Move blobs that are needed into trash/, knowingly: ``choose`` gives each with the repositories that have it.

    It is asked under the exclusive lock; what a living process has a lease on, or needs of that, stays.
    """
    collected = Collected()
    with fsio.FileLock(layout.gc_lock, exclusive=True):
        in_use = leases.held(layout)
        in_use.update(*[needs(layout, digest) for digest in in_use])
        for digest, repositories in choose().items():
            if digest not in in_use:
                dropped.remember(layout, digest, repositories)
                _bury(layout, layout.blob(digest), collected.graves, collected.blobs, digest)
    return collected


def needed(layout: Layout) -> set[str]:
    """Return the digests (manifests, blobs, layers) that a collection at this moment would leave."""
    return _mark(layout)


def _mark(layout: Layout) -> set[str]:
    # Leases before containers: whoever makes one releases the lease when it is in place.
    alive = leases.held(layout)
    manifests = manifest_lists.local_manifests(layout)
    # Verified: what a flipped bit does not name any more would be removed, and the bit could not be put right again.
    for entry in index.entries(layout, verified=True):
        manifests.add(entry["digest"])
        notes = index.notes_of(entry)
        alive.update(notes[key] for key in (index.ORIGINAL, index.SOURCE_INDEX, index.CONFIG) if key in notes)
        if index.ALL_PLATFORMS in notes:
            manifests.update(_below(layout, notes.get(index.SOURCE_INDEX, ""), _DEPTH))
    for _, path in containers.list(layout):
        try:
            manifests.add(containers.load_file(path, "container.json", verified=True).get("manifest") or "")
        except ContainerNotFoundError:
            continue  # removed meanwhile
        except StoreCorruptError:
            alive.update(_layers_of_bundle(layout, path))
    manifests.update(mount.manifest for mount in image_mounts.alive(layout))
    # A lease may name manifests too: what they need is needed.
    for manifest in manifests | alive:
        alive.add(manifest)
        alive.update(needs(layout, manifest))
    return alive


def needs(layout: Layout, manifest: str) -> set[str]:
    """Return config, layers and diff_ids of an image: from its record, else (foreign tools) from the manifest."""
    try:
        record = sealed.unseal(fsio.read_bytes(layout.image(manifest)))
        found = {record["image_id"], *record.get("keep", ())}
        for layer in record["layers"]:
            found.update((layer["digest"], layer["diff_id"]))
        return found
    except (ValueError, KeyError):
        pass
    except OSError as error:
        if is_no_answer(error):
            raise  # what it needs would be taken for garbage
    document = _document(layout, manifest)
    try:
        found = {item["digest"] for item in [document["config"], *document["layers"]]}
        config = _document(layout, document["config"]["digest"])
    except (KeyError, TypeError):
        return set()  # a layer that a lease names
    try:
        found.update(config["rootfs"]["diff_ids"])
    except (KeyError, TypeError):
        pass  # another kind of artifact: it has no layers that are unpacked
    return found


def _below(layout: Layout, listed: str, depth: int) -> set[str]:
    """Return the digests that an index of the store names, and those that the indexes among these name."""
    document: Any = _document(layout, listed) if depth else None
    try:
        found = {item["digest"] for item in document["manifests"]}
    except (KeyError, TypeError):
        return set()  # a manifest
    return found.union(*(_below(layout, digest, depth - 1) for digest in found))


def _document(layout: Layout, digest: str) -> Any:
    """Return a small blob that is JSON, else None."""
    try:
        if os.stat(layout.blob(digest)).st_size > MAX_MANIFEST_BYTES:
            return None
        return json.loads(fsio.read_bytes(layout.blob(digest)))
    except ValueError:
        return None
    except OSError as error:
        if is_no_answer(error):
            raise
        return None


def _layers_of_bundle(layout: Layout, container: str) -> set[str]:
    """Return the layers that a container with a damaged record is mounted from: it may be running."""
    try:
        lowerdirs = json.loads(fsio.read_bytes(f"{container}/rootfs.json"))["lowerdirs"]
        names = [path.removeprefix(f"{layout.layers}/").split("/") for path in lowerdirs]
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
    except OSError as error:
        if is_no_answer(error):
            raise
        return set()
    return {":".join(name[:2]) for name in names}


def _signatures(layout: Layout) -> list[str]:
    try:
        return os.listdir(layout.signatures)
    except FileNotFoundError:  # there was never a policy
        return []


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
