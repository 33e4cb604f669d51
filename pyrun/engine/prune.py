"""The verbs `prune`: remove what nobody uses; each returns what went and how many bytes of disk that were.

It must not ask or print. Nothing is decided under a lock of the whole store: each removal checks again for itself, and
what came into use meanwhile stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pyrun.engine import events
from pyrun.engine.disk_usage import measure, writable_sizes
from pyrun.engine.filter_words import has_label
from pyrun.engine.instant import parse_rfc3339
from pyrun.errors import ConflictError, NotFoundError, StoreBusyError, StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """Remove the images without a name, or ``all`` that no container was made of. ``removed``: as rmi's lines.

    With ``all`` also the blobs that are half fetched and nobody is fetching now.
    """
    from pyrun.engine.image_inspect import image_inspect
    from pyrun.engine.images import list_images
    from pyrun.engine.rmi import remove_image
    from pyrun.store import partials

    before = _images_disk(layout)
    used = _used_manifests(layout)
    removed: list[str] = []
    for image in list_images(layout):
        if image.manifest in used or not (all or not image.tag):
            continue
        labels: dict[str, Any] = image_inspect(layout, image.id)["Config"]["Labels"] or {} if conditions.labels else {}
        if not conditions.hold(image.created, labels):
            continue
        try:
            name = f"{image.repository}:{image.tag}" if image.tag else image.id
            lines = remove_image(layout, name).lines
        except (NotFoundError, ConflictError):
            continue
        removed += [f"{line[0].lower()}{line[1:]}" for line in lines]
    if all and conditions == Conditions():
        partials.prune(layout)
    return _told(layout, "image", Pruned(removed, max(before - _images_disk(layout), 0)))


def _told(layout: Layout, kind: str, pruned: Pruned) -> Pruned:
    """Record docker's event of a prune, whether anything went or not."""
    events.emit(layout, kind, "prune", "", {"reclaimed": str(pruned.reclaimed)})
    return pruned


def _images_disk(layout: Layout) -> int:
    return sum(usage.disk for usage in measure(layout, [layout.layers, layout.blobs, layout.images, layout.partials]))


def _used_manifests(layout: Layout) -> set[str]:
    from pyrun.store import containers

    used = set()
    for _, directory in containers.list(layout):
        try:
            used.add(containers.load_listed(directory)["manifest"])
        except (NotFoundError, StoreCorruptError, KeyError):
            continue
    return used
