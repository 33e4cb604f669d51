"""The verb rmi: take a name from an image, and the image with its last one.

It must not know how garbage is found (`store/gc.py`). Check and change happen under the exclusive gc.lock, so that no
container can appear in between. Cold.
"""

from __future__ import annotations

import os

from pyrun.engine import events, namespace
from pyrun.errors import (
    ConflictError,
    ContainerNotFoundError,
    ImageInUseError,
    StorageFullError,
    StoreCorruptError,
)
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.runtime import state
from pyrun.store import containers, gc, index, trees
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class RemovedImage:
    """What rmi did, as docker prints it: ``Untagged: NAME`` for each name, ``Deleted: DIGEST`` for what is gone."""

    __slots__ = ("deleted", "image_id", "untagged")

    def __init__(self) -> None:
        self.image_id = ""
        self.untagged: list[str] = []
        self.deleted: list[str] = []

    @property
    def lines(self) -> list[str]:
        """The lines to print, in order."""
        return [f"Untagged: {name}" for name in self.untagged] + [f"Deleted: {digest}" for digest in self.deleted]


def remove_image(layout: Layout, text: str, *, force: bool = False) -> RemovedImage:
    """Remove a tag; with it the image, if no other tag has it. By id: the image and its only tag.

    Raises: ImageNotFoundError; ImageInUseError (a stopped container too; with ``force`` only a running one);
    ConflictError (an id with tags in several repositories, without ``force``).
    """
    namespace.register(layout)
    result = RemovedImage()

    def check_and_untag() -> None:
        index.update(layout, lambda found: _without(layout, found, text, force, result))

    image_ids = {entry["digest"]: index.notes_of(entry).get(index.CONFIG, "") for entry in index.entries(layout)}
    try:
        collected = gc.collect(layout, check_and_untag)
    except StorageFullError:
        # Who wants to free space must not need some: the caches may go at any time.
        for name in os.listdir(layout.cache):
            trees.remove_tree(f"{layout.cache}/{name}")
        result.untagged.clear()
        collected = gc.collect(layout, check_and_untag)
    # docker names an image by its config here, too.
    gone = [image_ids.get(manifest) or manifest for manifest in collected.images]
    result.deleted += [*gone, *collected.layers]
    for _ in result.untagged:
        events.image(layout, "untag", result.image_id, result.image_id)
    for image_id in gone:
        events.image(layout, "delete", image_id, image_id)
    sweep(layout)
    return result


def _without(
    layout: Layout,
    found: list[Entry],
    text: str,
    force: bool,
    result: RemovedImage,
) -> list[Entry]:
    """Return the index without what ``text`` names. Raises: as `remove_image`."""
    entry = resolve.find_in(found, text)
    result.image_id = index.notes_of(entry).get(index.CONFIG) or entry["digest"]
    same = [other for other in found if other["digest"] == entry["digest"]]
    name = _name_meant(text, entry)
    if name and len(same) > 1:
        result.untagged.append(references.parse_normalized(name).familiar)
        return index.remove_tag(found, name)
    if not name and not force:
        _refuse_many_names(text, same)
    _refuse_used(layout, text, entry["digest"], force)
    for other in same:
        if index.ref_name(other):
            result.untagged.append(references.parse_normalized(index.ref_name(other)).familiar)
    for item in index.notes_of(entry).get(index.REPO_DIGESTS, "").split():
        result.untagged.append(references.parse_normalized(item).familiar)
    return [other for other in found if other["digest"] != entry["digest"]]


def _name_meant(text: str, entry: Entry) -> str:
    """Return the tag that ``text`` is, or nothing if it is an id or a digest."""
    name = index.ref_name(entry)
    return name if name and resolve.is_named(text, name) else ""


def _refuse_many_names(text: str, same: list[Entry]) -> None:
    repositories = {index.ref_name(other).rpartition(":")[0] for other in same if index.ref_name(other)}
    if len(repositories) > 1 or len([other for other in same if index.ref_name(other)]) > 1:
        raise ConflictError(
            f"cannot remove image: {text}: it has several names: "
            + ", ".join(sorted(references.parse_normalized(index.ref_name(other)).familiar for other in same)),
            hint="remove one name, or all of them with -f",
        )


def _refuse_used(layout: Layout, text: str, manifest: str, force: bool) -> None:
    stopped = ""
    for container_id, path in containers.list(layout):
        try:
            if containers.load(path).get("manifest") != manifest:
                continue
        except (ContainerNotFoundError, StoreCorruptError):
            continue  # removed meanwhile, or unreadable: `rm -f` is what it waits for
        if state.status(path).is_up:
            raise ImageInUseError(text, container_id, running=True)
        stopped = stopped or container_id
    if stopped and not force:
        raise ImageInUseError(text, stopped, running=False)
