"""The verbs `prune`: remove what nobody uses; each returns what went and how many bytes of disk that were.

It must not ask or print. Nothing is decided under a lock of the whole store: each removal checks again for itself, and
what came into use meanwhile stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyrun.engine import events
from pyrun.engine.disk_usage import measure, writable_sizes
from pyrun.engine.filter_words import has_label
from pyrun.engine.instant import parse_rfc3339
from pyrun.errors import ConflictError, NotFoundError, StoreBusyError, StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class Conditions(NamedTuple):
    """``until``: made before, nanoseconds since 1970, 0 for any; labels, wanted or not, as ``key`` or ``key=value``."""

    until: int = 0
    labels: tuple[str, ...] = ()
    no_labels: tuple[str, ...] = ()

    def hold(self, created: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a thing of this time and these labels is meant."""
        if self.until and parse_rfc3339(created) > self.until:
            return False
        is_wanted = all(has_label(labels, word) for word in self.labels)
        return is_wanted and not any(has_label(labels, word) for word in self.no_labels)


class Pruned(NamedTuple):
    """``removed``: ids or names, in order."""

    removed: list[str]
    reclaimed: int


def prune_containers(layout: Layout, conditions: Conditions) -> Pruned:
    """Remove the containers that do not run."""
    from pyrun.engine import ps, rm

    found = ps.list_containers(layout, all=True)
    idle = [
        container
        for container in found
        if not container.state.is_up and conditions.hold(container.record["created"], container.record["labels"])
    ]
    sizes = writable_sizes(layout, [container.directory for container in idle])
    removed, reclaimed = [], 0
    # Together, not one by one: what is swept after a removal is looked for once.
    outcomes = rm.remove_all(layout, [container.id for container in idle])
    for (container_id, _, error), size in zip(outcomes, sizes, strict=True):
        if isinstance(error, (NotFoundError, ConflictError, StoreBusyError, StoreCorruptError)):
            continue  # gone, started again, or damaged: `rm -f` is for that
        if error is not None:
            raise error
        removed.append(container_id)
        reclaimed += size
    return _told(layout, "container", Pruned(removed, reclaimed))


def prune_volumes(layout: Layout, conditions: Conditions, *, all: bool) -> Pruned:
    """Remove the volumes that no container mounts: anonymous ones, or ``all``."""
    from pyrun.engine import namespace
    from pyrun.volumes import store

    namespace.register(layout)
    used = store.all_users(layout)
    idle = [
        volume
        for volume in store.list(layout)
        if volume["name"] not in used
        and (all or volume["anonymous"])
        and conditions.hold(volume["created"], volume["labels"])
    ]
    names = [volume["name"] for volume in idle]
    sizes = dict(zip(names, measure(layout, [volume["mountpoint"] for volume in idle]), strict=True))
    removed = store.remove_unused(layout, names)
    for name in removed:
        events.volume(layout, "destroy", name)
    return _told(layout, "volume", Pruned(removed, sum(sizes[name].disk for name in removed)))


def prune_images(layout: Layout, conditions: Conditions, *, all: bool) -> Pruned:
    """Remove the images without a tag, or ``all``, that no container is made of. ``removed``: as rmi's lines.

    With it goes whatever crashes have left; with ``all`` and no other condition also the blobs that are half fetched
    and that nobody is fetching now. The bytes are those of the disk, measured before they go.
    """
    from pyrun.engine import image_removal, namespace
    from pyrun.store import partials, sweep, trees

    namespace.register(layout)
    outcome: list[image_removal.Removed] = []

    def choose(found: list[Entry], users: image_removal.Users) -> tuple[list[Entry], list[image_removal.Removed]]:
        outcome.clear()
        for same in _by_manifest(found):
            own = {same[0]["digest"]}
            if (image_removal.tags(same) and not all) or users.of(own) or users.mount_of(own):
                continue
            if _is_meant(layout, same[0], conditions):
                outcome.append(image_removal.Removed(image_removal.image_id(same[0])))
                found = image_removal.delete(layout, found, same, outcome[-1])
        return found, outcome

    collected = image_removal.take(layout, choose)
    gone = [*sweep.leftovers(layout), *(partials.idle(layout) if all and conditions == Conditions() else ())]
    reclaimed = sum(usage.disk for usage in measure(layout, gone))
    trees.remove_all(collected.graves)
    sweep.sweep(layout)
    if all and conditions == Conditions():
        partials.prune(layout)
    removed = [f"{line[0].lower()}{line[1:]}" for item in outcome for line in item.lines]
    named = {layer for item in outcome for layer in item.layers}
    removed += [f"deleted: {layer}" for layer in collected.layers if layer not in named]
    return _told(layout, "image", Pruned(removed, reclaimed))


def _by_manifest(found: list[Entry]) -> list[list[Entry]]:
    """Return the entries of each image, newest image first."""
    from pyrun.store import index

    groups: dict[str, list[Entry]] = {}
    for entry in found:
        groups.setdefault(entry["digest"], []).append(entry)
    return sorted(groups.values(), key=lambda same: index.notes_of(same[0]).get(index.CREATED, ""), reverse=True)


def _is_meant(layout: Layout, entry: Entry, conditions: Conditions) -> bool:
    from pyrun.errors import ImageNotFoundError
    from pyrun.images.resolve import load_record
    from pyrun.store import index

    labels: dict[str, str] = {}
    if conditions.labels or conditions.no_labels:
        try:
            labels = load_record(layout, entry["digest"])["labels"]
        except (ImageNotFoundError, StoreCorruptError):
            return False  # what cannot be read cannot be judged
    return conditions.hold(index.notes_of(entry).get(index.CREATED, ""), labels)


def _told(layout: Layout, kind: str, pruned: Pruned) -> Pruned:
    """Record docker's event of a prune, whether anything went or not."""
    events.emit(layout, kind, "prune", "", {"reclaimed": str(pruned.reclaimed)})
    return pruned
