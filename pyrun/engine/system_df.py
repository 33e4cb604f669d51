"""The verb system df: what images, containers and volumes take, measured; together what du(1) says of the store.

It must not know how sizes are shown. What belongs to no container and no volume is the images': layers, blobs, caches;
`store_places` says which part of that no image has, and why it is there.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrun.engine import ps
from pyrun.engine.disk_usage import measure
from pyrun.engine.images import ImageSummary, list_images
from pyrun.engine.store_places import Place, places
from pyrun.errors import ImageNotFoundError, StoreCorruptError
from pyrun.images.resolve import load_record
from pyrun.volumes import store as volumes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrun.engine.ps import Container
    from pyrun.store.layout import Layout


class ImageUsage(NamedTuple):
    """``size``: layers and blobs; ``shared``: what another image has too; ``containers``: how many are made of it."""

    image: ImageSummary
    size: int
    shared: int
    containers: int


class VolumeUsage(NamedTuple):
    """``links``: how many containers mount it."""

    volume: dict[str, Any]
    size: int
    links: int


class Total(NamedTuple):
    """One line: how many there are, how many are in use, bytes, and those of what is not in use."""

    kind: str
    number: int
    active: int
    size: int
    reclaimable: int


class DiskUsage(NamedTuple):
    """``containers``: each with the bytes of its directory; ``places``: what belongs to nothing that is listed here."""

    totals: list[Total]
    images: list[ImageUsage]
    containers: list[tuple[Container, int]]
    volumes: list[VolumeUsage]
    places: list[Place]


def system_df(layout: Layout) -> DiskUsage:
    """Measure the whole store. Raises: SyscallError; StoreCorruptError."""
    whole = measure(layout, [layout.root])[0].disk
    outside = measure(layout, [layout.containers, layout.ephemeral, layout.volumes])
    of_containers, of_volumes = outside[0].disk + outside[1].disk, outside[2].disk
    found = ps.list_containers(layout, all=True)
    sizes = [usage.disk for usage in measure(layout, [container.directory for container in found])]
    images, unused, of_images = _images(layout, found)
    mounted = _volumes(layout)
    active = [container for container in found if container.state.is_up]
    idle = sum(size for container, size in zip(found, sizes, strict=True) if not container.state.is_up)
    used = [item for item in mounted if item.links]
    listed = {*of_images, *(each.directory for each in found), *(layout.volume(v.volume["name"]) for v in mounted)}
    others = places(layout, listed)
    unused += sum(place.size for place in others if place.is_left)
    free = sum(item.size for item in mounted if not item.links)
    is_used = sum(1 for item in images if item.containers)
    totals = [
        Total("Images", len(images), is_used, whole - of_containers - of_volumes, unused),
        Total("Containers", len(found), len(active), of_containers, idle),
        Total("Local Volumes", len(mounted), len(used), of_volumes, free),
        Total("Build Cache", 0, 0, 0, 0),
    ]
    return DiskUsage(totals, images, list(zip(found, sizes, strict=True)), mounted, others)


def _images(layout: Layout, found: list[Container]) -> tuple[list[ImageUsage], int, set[str]]:
    """Return the images, the bytes of what no container is made of, and the paths of all that they have."""
    summaries = list({image.manifest: image for image in reversed(list_images(layout))}.values())[::-1]
    needs = {image.manifest: _paths(layout, image.manifest) for image in summaries}
    everything = sorted({path for paths in needs.values() for path in paths})
    disk = dict(zip(everything, (usage.disk for usage in measure(layout, everything)), strict=True))
    users = Counter(container.record["manifest"] for container in found)
    owners = Counter(path for paths in needs.values() for path in paths)

    def size_of(paths: Iterable[str]) -> int:
        return sum(disk[path] for path in paths)

    images = []
    for image in summaries:
        own = needs[image.manifest]
        shared = (path for path in own if owners[path] > 1)
        images.append(ImageUsage(image, size_of(own), size_of(shared), users[image.manifest]))
    in_use = {path for image in images if image.containers for path in needs[image.image.manifest]}
    return images, size_of(set(everything) - in_use), set(everything)


def _paths(layout: Layout, manifest: str) -> set[str]:
    """Return the files and directories that an image has: its layers in all their forms, its blobs, its record."""
    try:
        record = load_record(layout, manifest)
    except (ImageNotFoundError, StoreCorruptError):
        return set()
    blobs = [manifest, record["image_id"], *record["keep"], *(layer["digest"] for layer in record["layers"])]
    layers = [layout.layer(layer["diff_id"], "").rstrip("/") for layer in record["layers"]]
    return {layout.image(manifest), *map(layout.blob, blobs), *layers}


def _volumes(layout: Layout) -> list[VolumeUsage]:
    found = volumes.list(layout)
    users = volumes.all_users(layout)
    sizes = measure(layout, [layout.volume(volume["name"]) for volume in found])
    return [
        VolumeUsage(volume, size.disk, len(users.get(volume["name"], ())))
        for volume, size in zip(found, sizes, strict=True)
    ]
