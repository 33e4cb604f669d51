"""What of the store's disk belongs to no image, container or volume that is listed, and why it is there: all of it.

It must not know how it is shown. With images, containers and volumes it adds up to what du(1) says: nothing on the disk
is unheard of, not even what a crash has left.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pyrun.engine.disk_usage import measure
from pyrun.errors import ContainerNotFoundError, StoreCorruptError
from pyrun.store import containers, fsio, gc, manifest_lists, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pyrun.store.layout import Layout

_OWN = {
    "cache": "caches",
    "events": "the record of events",
    "idranges": "ranges of subordinate ids",
    "lists": "manifest lists",
    "mounts": "images mounted for host tools",
    "names": "names of containers",
    "networks": "networks",
    "signatures": "signatures of images, and what policies say of them",
    "quarantine": "damaged, taken away by `fsck --repair`",
}
_BOOKKEEPING = "index, locks and directories"


class Place(NamedTuple):
    """``path``: below the root; ``size``: bytes of disk; ``is_left``: nobody needs it, and a prune removes it."""

    path: str
    size: int
    why: str
    is_left: bool


def places(layout: Layout, listed: Collection[str]) -> list[Place]:
    """Return all that is in none of the ``listed`` paths (of images, containers and volumes), by path."""
    found = sorted(item for item in _all(layout) if item[0] not in listed)
    sizes = measure(layout, [path for path, _, _ in found])
    cut = len(layout.root) + 1
    rows = [Place(path[cut:], size.disk, why, left) for (path, why, left), size in zip(found, sizes, strict=True)]
    return [*rows, Place(".", _bookkeeping(layout), _BOOKKEEPING, False)]


def _all(layout: Layout) -> Iterator[tuple[str, str, bool]]:
    why = _Reasons(layout)
    for parent in (f"{layout.layers}/sha256", f"{layout.blobs}/sha256"):
        for name in _names(parent):
            yield f"{parent}/{name}", *why.of(f"sha256:{name}")
    for name in _names(layout.images):
        yield layout.image(name), *why.of(name)
    for parent in (layout.containers, layout.ephemeral):
        for name in _names(parent):
            yield f"{parent}/{name}", "a container of an earlier boot", True
    for name in _names(layout.volumes):
        yield layout.volume(name), "no whole volume", False
    for name in _names(layout.tmp):
        yield f"{layout.tmp}/{name}", f"unfinished work of {_owner(name)}", owner.is_dead(name)
    for name in _names(layout.leases):
        yield f"{layout.leases}/{name}", f"lease of {_owner(name)}", owner.is_dead(name)
    for name in _names(layout.trash):
        yield f"{layout.trash}/{name}", "being removed", True
    for name in _names(layout.partials):
        yield f"{layout.partials}/{name}", "half fetched", True
    for name in _names(layout.root):
        path = f"{layout.root}/{name}"
        if path not in _looked_into(layout) and os.path.isdir(path):
            yield path, _OWN.get(name, "unknown to pyrun"), False


class _Reasons:
    """Why a manifest, blob or layer is kept that no listed image has."""

    def __init__(self, layout: Layout) -> None:
        self._why: dict[str, str] = {}
        for digest in manifest_lists.local_manifests(layout):
            self._note(layout, [digest], "of a manifest list")
        for _, path in containers.list(layout):
            try:
                record = containers.load_listed(path)
            except (ContainerNotFoundError, StoreCorruptError):
                continue
            self._note(layout, [record.get("manifest") or ""], f"of container {record.get('name')}")
        for name in _names(layout.leases):
            if owner.is_dead(name):
                continue
            try:
                digests = fsio.read_bytes(f"{layout.leases}/{name}").decode("ascii", "replace").split()
            except FileNotFoundError:
                continue
            self._note(layout, digests, f"leased by {_owner(name)}")

    def of(self, digest: str) -> tuple[str, bool]:
        """Return why something is there, and whether that is for nothing."""
        why = self._why.get(digest)
        return (why, False) if why else ("nothing needs it", True)

    def _note(self, layout: Layout, digests: list[str], why: str) -> None:
        for digest in digests:
            if digest in self._why:
                continue  # what it needs is noted, too
            for needed in (digest, *gc.needs(layout, digest)):
                self._why.setdefault(needed, why)


def _owner(token: str) -> str:
    parts = token.split("-")
    pid = f"pid {parts[3]}" if len(parts) > 3 else "nobody"
    return f"{pid} (dead)" if owner.is_dead(token) else pid


def _looked_into(layout: Layout) -> tuple[str, ...]:
    """The directories whose content is told one by one."""
    return (
        layout.oci, layout.blobs, f"{layout.blobs}/sha256", layout.layers, f"{layout.layers}/sha256", layout.images,
        layout.containers, layout.ephemeral, layout.volumes, layout.tmp, layout.leases, layout.trash, layout.partials,
    )  # fmt: skip


def _bookkeeping(layout: Layout) -> int:
    """Return the blocks of these directories themselves, and of the files directly in the root and the OCI layout."""
    paths = [layout.root, *_looked_into(layout)]
    for parent in (layout.root, layout.oci):
        paths += [path for name in _names(parent) if not os.path.isdir(path := f"{parent}/{name}")]
    return sum(_blocks(path) for path in paths)


def _blocks(path: str) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
