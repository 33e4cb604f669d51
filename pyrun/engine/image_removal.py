"""Images taken out of index.json and off the disk, for `rmi` and `prune`: check, untag and collect in one step.

It must not know which images are meant, nor how garbage is found (`store/gc.py`). What is decided is decided under the
exclusive gc.lock: no container can appear, and no pull can begin to count on an image, between the look and the rename.
"""

from __future__ import annotations

import os

from pyrun.engine import events
from pyrun.errors import ContainerNotFoundError, ImageNotFoundError, StorageFullError, StoreCorruptError
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.store import containers, gc, image_mounts, index, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyrun.store.gc import Collected
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class Removed:
    """What became of one image: the names it lost; whether it is gone; the layers (diff_ids) that went with it.

    ``layers`` are all it had, lowest first, until `take` leaves those that nobody else needs. ``parents``: the images
    without a name that went with it, the next one below first.
    """

    __slots__ = ("image_id", "is_deleted", "layers", "parents", "untagged")

    def __init__(self, image_id: str) -> None:
        self.image_id = image_id
        self.untagged: list[str] = []
        self.is_deleted = False
        self.layers: list[str] = []
        self.parents: list[Removed] = []

    @property
    def deleted(self) -> list[str]:
        """The ids of what is gone: docker's order, the image and then its layers from the top."""
        own = [self.image_id, *reversed(self.layers)] if self.is_deleted else []
        return own + [digest for parent in self.parents for digest in parent.deleted]

    @property
    def lines(self) -> list[str]:
        """The lines that docker prints, in order."""
        return [f"Untagged: {name}" for name in self.untagged] + [f"Deleted: {digest}" for digest in self.deleted]


class Users:
    """Which containers, running or not, are made of which image, and which images are mounted; one look at all."""

    def __init__(self, layout: Layout) -> None:
        self._mounts = {mount.manifest: mount.path for mount in image_mounts.alive(layout)}
        self._of: dict[str, list[tuple[str, str, str]]] = {}
        for container_id, path in containers.list(layout):
            try:
                record = containers.load_listed(path)
            except (ContainerNotFoundError, StoreCorruptError):
                continue  # removed meanwhile, or unreadable: `rm -f` is what it waits for
            found = self._of.setdefault(record.get("manifest") or "", [])
            found.append((container_id, record.get("name") or container_id[:12], path))

    def of(self, manifests: Iterable[str]) -> list[tuple[str, str, str]]:
        """Return (id, name, directory) of the containers made of any of these."""
        return [user for manifest in manifests for user in self._of.get(manifest, ())]

    def mount_of(self, manifests: Iterable[str]) -> str:
        """Return where one of these is mounted for host tools, or ""."""
        return next((self._mounts[manifest] for manifest in manifests if manifest in self._mounts), "")


def take(layout: Layout, choose: Callable[[list[Entry], Users], tuple[list[Entry], list[Removed]]]) -> Collected:
    """Let ``choose`` say what index.json is to be and what is removed by that; move what nobody needs now to trash/.

    Runs it twice where the disk is full. The caller removes the graves. Raises: StoreError; what ``choose`` raises.
    """
    removed: list[Removed] = []

    def change(found: list[Entry]) -> list[Entry] | None:
        after, outcome = choose(found, Users(layout))
        removed[:] = outcome
        return after if any(item.untagged or item.is_deleted for item in outcome) else None

    try:
        collected = gc.bury(layout, lambda: index.update(layout, change))
    except StorageFullError:
        # Who wants to free space must not need some: the caches may go at any time.
        for name in os.listdir(layout.cache):
            trees.remove_tree(f"{layout.cache}/{name}")
        collected = gc.bury(layout, lambda: index.update(layout, change))
    _settle(layout, removed, set(collected.layers))
    return collected


def _settle(layout: Layout, removed: list[Removed], gone: set[str]) -> None:
    """Leave each layer with the first of the images that had it, and tell what happened."""
    for item in [each for one in removed for each in (one, *one.parents)]:
        item.layers = [layer for layer in dict.fromkeys(item.layers) if layer in gone]
        gone.difference_update(item.layers)
        for _ in item.untagged:
            events.image(layout, "untag", item.image_id, item.image_id)
        if item.is_deleted:
            events.image(layout, "delete", item.image_id, item.image_id)


def image_id(entry: Entry) -> str:
    """Return docker's image id of an entry."""
    return index.notes_of(entry).get(index.CONFIG) or entry["digest"]


def tags(same: Iterable[Entry]) -> list[str]:
    """Return the tags of an image, whole."""
    return [name for name in map(index.ref_name, same) if name]


def digests(same: Iterable[Entry]) -> list[str]:
    """Return ``NAME@DIGEST`` of each place an image was pulled from, whole."""
    found = [item for entry in same for item in index.notes_of(entry).get(index.REPO_DIGESTS, "").split()]
    return [*dict.fromkeys(found)]


def delete(layout: Layout, found: list[Entry], same: list[Entry], removed: Removed) -> list[Entry]:
    """Return the index without an image and all its names; note in ``removed`` what goes."""
    removed.untagged += map(familiar, [*tags(same), *digests(same)])
    manifests = {entry["digest"] for entry in same}
    left = [entry for entry in found if entry["digest"] not in manifests]
    # The same configuration may be in another manifest (its layers compressed otherwise): one image to docker.
    removed.is_deleted = all(image_id(entry) != removed.image_id for entry in left)
    removed.layers += [layer for manifest in sorted(manifests) for layer in diff_ids(layout, manifest)]
    return left


def diff_ids(layout: Layout, manifest: str) -> list[str]:
    """Return an image's layers, lowest first; none if it has no record."""
    try:
        return [layer["diff_id"] for layer in resolve.load_record(layout, manifest)["layers"]]
    except (ImageNotFoundError, StoreCorruptError):
        return []


def familiar(name: str) -> str:
    """Return a whole reference as users write it."""
    return references.parse_normalized(name).familiar
