"""The verb images --tree: each image with the platforms of its index, those that are here and those that are not.

It must not know how a tree is drawn. Sizes are those of blobs, and of unpacked files as their record has them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrun.engine import image_removal
from pyrun.engine.images import list_lines, unpacked_size
from pyrun.engine.index_parts import is_image
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform
from pyrun.store import blobs, dropped, index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class Node:
    """A platform. ``content``: bytes of blobs, ``unpacked``: of files; both as far as they are here."""

    __slots__ = ("content", "id", "in_use", "is_here", "label", "unpacked")

    def __init__(self, label: str, id: str) -> None:
        self.label = label
        self.id = id
        self.content = 0
        self.unpacked = 0
        self.in_use = False
        self.is_here = False


class ImageNode:
    """An image: its ``names``, its id, and a node for each platform."""

    __slots__ = ("id", "names", "platforms")

    def __init__(self, id: str, names: list[str], platforms: list[Node]) -> None:
        self.id = id
        self.names = names
        self.platforms = platforms

    @property
    def content(self) -> int:
        """Bytes of blobs of all platforms."""
        return sum(node.content for node in self.platforms)

    @property
    def disk_usage(self) -> int:
        """Bytes of blobs and unpacked files."""
        return sum(node.content + node.unpacked for node in self.platforms)

    @property
    def in_use(self) -> bool:
        """Whether a container is made of one of them."""
        return any(node.in_use for node in self.platforms)


def platform_tree(layout: Layout, wanted: dict[str, list[str]], until: Sequence[int] = ()) -> list[ImageNode]:
    """Return the images that the filters leave, the newest first. Raises: as `images.list_lines`."""
    groups: dict[str, list[Entry]] = {}
    for entry in index.entries(layout):
        groups.setdefault(entry["digest"], []).append(entry)
    users = image_removal.Users(layout)
    found = []
    for manifest in dict.fromkeys(line.manifest for line in list_lines(layout, wanted=wanted, until=until)):
        same = groups.get(manifest)
        if same is None:
            continue  # it has come since
        own = {manifest, *(index.notes_of(entry).get(index.ORIGINAL, manifest) for entry in same)}
        nodes = _platforms(layout, same, own)
        for node in nodes:
            node.in_use = bool(users.of(own if node.id in own else {node.id}))
        names = sorted(image_removal.familiar(name) for name in image_removal.tags(same))
        found.append(ImageNode(image_removal.image_id(same[0]), names, nodes))
    return found


def _platforms(layout: Layout, same: list[Entry], own: set[str]) -> list[Node]:
    """Return a node for each platform of the image's index; for one without an index, its own."""
    manifest = same[0]["digest"]
    nodes = [Node(label, digest) for label, digest in _listed(layout, same)]
    if not any(node.id in own for node in nodes):
        platform = index.notes_of(same[0]).get(index.PLATFORM, "")
        nodes.append(Node(platform, next(iter(own - {manifest}), manifest)))
    for node in nodes:
        _fill(layout, node)
        if node.id in own:
            node.unpacked = unpacked_size(layout, manifest)
    return nodes


def _listed(layout: Layout, same: list[Entry]) -> list[tuple[str, str]]:
    listed = next((notes[index.SOURCE_INDEX] for notes in map(index.notes_of, same) if index.SOURCE_INDEX in notes), "")
    if not listed or not blobs.exists(layout, listed):
        return []
    document = decode_manifest(blobs.read(layout, listed))
    items = document.manifests if isinstance(document, Index) else []
    return [(str(Platform.of(item.platform)), item.digest) for item in items if item.platform and is_image(item)]


def _fill(layout: Layout, node: Node) -> None:
    """Count what is here of a platform."""
    if not blobs.exists(layout, node.id):
        return
    data = blobs.read(layout, node.id)
    document = decode_manifest(data)
    if not isinstance(document, Manifest):
        return
    parts = {item.digest for item in (document.config, *document.layers)}
    node.content = len(data) + sum(os.stat(layout.blob(part)).st_size for part in parts if blobs.exists(layout, part))
    node.is_here = all(dropped.is_there_or_dropped(layout, part) for part in parts)
