"""The verb image tree: an image's layers, or the images that are built on it.

It must not know how a tree is drawn. Layers are named as podman names them, by what they and all below them hold: the
chain id of image-spec config.md "Layer ChainID".
"""

from __future__ import annotations

from hashlib import sha256

from pyrun.errors import ImageNotFoundError
from pyrun.images import resolve
from pyrun.oci import digest as digests
from pyrun.oci import reference as references
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class Layer:
    """A layer; ``size``: bytes of its files; ``tops``: names of the images (or their ids) that end with it."""

    __slots__ = ("above", "id", "size", "tops")

    def __init__(self, id: str, size: int) -> None:
        self.id = id
        self.size = size
        self.tops: list[str] = []
        self.above: list[Layer] = []


class ImageTree:
    """``layers``: all, the lowest first; or the highest alone, with those above it in other images."""

    __slots__ = ("image_id", "layers", "size", "tags")

    def __init__(self, image_id: str, tags: list[str], size: int, layers: list[Layer]) -> None:
        self.image_id = image_id
        self.tags = tags
        self.size = size
        self.layers = layers


def image_tree(layout: Layout, text: str, *, what_requires: bool = False) -> ImageTree:
    """Return an image's layers, or (``what_requires``) its highest one and those above it in other images.

    Raises: ImageNotFoundError; StoreCorruptError.
    """
    entries = index.entries(layout)
    entry = resolve.find_in(entries, text)
    record = resolve.load_record(layout, entry["digest"])
    known: dict[str, Layer] = {}
    chain = _chain(layout, entry["digest"], known)
    for digest in dict.fromkeys(other["digest"] for other in entries):
        try:
            layers = _chain(layout, digest, known)
        except ImageNotFoundError:
            continue  # it is just being removed
        if layers:
            layers[-1].tops += _names(entries, digest)
    shown = chain[-1:] if what_requires else chain
    if not what_requires:
        for layer in chain:
            layer.above = []
    return ImageTree(record["image_id"], _tags(entries, entry["digest"]), record["unpacked_size"], shown)


def _chain(layout: Layout, manifest: str, known: dict[str, Layer]) -> list[Layer]:
    """Return an image's layers, lowest first, each the same object in all images; what is above is noted in it."""
    found: list[Layer] = []
    chain_id = ""
    for layer in resolve.load_record(layout, manifest)["layers"]:
        diff_id = layer["diff_id"]
        chain_id = f"sha256:{sha256(f'{chain_id} {diff_id}'.encode()).hexdigest()}" if chain_id else diff_id
        if chain_id not in known:
            known[chain_id] = Layer(chain_id, layer["unpacked"])
            if found:
                found[-1].above.append(known[chain_id])
        found.append(known[chain_id])
    return found


def _names(entries: Sequence[Entry], manifest: str) -> list[str]:
    tags = _tags(entries, manifest)
    if tags:
        return tags
    image_id = next(index.notes_of(entry).get(index.CONFIG, "") for entry in entries if entry["digest"] == manifest)
    return [digests.short(image_id or manifest)]


def _tags(entries: Sequence[Entry], manifest: str) -> list[str]:
    names = [index.ref_name(entry) for entry in entries if entry["digest"] == manifest and index.ref_name(entry)]
    return [references.parse_normalized(name).familiar for name in sorted(names)]
