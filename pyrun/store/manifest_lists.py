"""Manifest lists that are being put together: `manifest create` begins one, `manifest push` sends it.

It must not know registries. A list is a small file of its own and no image: until it is pushed, nothing can run it.
What it takes from the store is kept for it (`local_manifests`, a root of `gc.py`).
"""

from __future__ import annotations

import os

from pyrun.errors import NotFoundError, StoreCorruptError
from pyrun.store import fsio, owner, sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.store.layout import Layout

    Entry = dict[str, Any]


class ManifestList:
    """``entries``: descriptors with platforms, as in an index; ``sources``: which reference each came from, by digest;
    empty for what is in this store."""

    __slots__ = ("entries", "sources")

    def __init__(self, entries: list[Entry], sources: dict[str, str]) -> None:
        self.entries = entries
        self.sources = sources


def load(layout: Layout, name: str) -> ManifestList:
    """Read a list by its whole name. Raises: NotFoundError; StoreCorruptError."""
    path = _file(layout, name)
    try:
        document = sealed.unseal(fsio.read_bytes(path))
        return ManifestList(list(document["entries"]), dict(document["sources"]))
    except FileNotFoundError:
        raise NotFoundError(f"no such manifest list: {name}", hint=f"`pyrun manifest create {name}` makes it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorruptError(
            f"cannot read manifest list: {path}: {error}", path=path, hint="remove it and make it anew"
        ) from error


def update(layout: Layout, name: str, change: Callable[[ManifestList | None], ManifestList]) -> ManifestList:
    """Re-read, change, write and rename under index.lock: of two changes at once none is lost.

    ``change`` is given None where there is no such list. Raises: what it raises; StorageFullError; StoreCorruptError.
    """
    with fsio.FileLock(layout.index_lock, exclusive=True):
        try:
            before: ManifestList | None = load(layout, name)
        except NotFoundError:
            before = None
        after = change(before)
        fsio.make_directory(layout.manifest_lists)
        data = sealed.seal({"entries": after.entries, "sources": after.sources})
        path = _file(layout, name)
        fsio.write_atomic(path, data, temporary=f"{layout.tmp}/{owner.token()}")
        return after


def remove(layout: Layout, name: str) -> None:
    """Forget a list; what it took from the store is left to the next collection. Raises: NotFoundError."""
    # Under the lock: an `update` that has read the list would else bring it back.
    with fsio.FileLock(layout.index_lock, exclusive=True):
        try:
            os.unlink(_file(layout, name))
        except FileNotFoundError:
            raise NotFoundError(f"no such manifest list: {name}") from None


def names(layout: Layout) -> list[str]:
    """List the names of all lists."""
    try:
        found = os.listdir(layout.manifest_lists)
    except FileNotFoundError:
        return []
    if not found:
        return []
    from urllib.parse import unquote

    return sorted(unquote(name) for name in found)


def local_manifests(layout: Layout) -> set[str]:
    """Return the digests of the store's manifests that lists name. Raises: StoreCorruptError."""
    found: set[str] = set()
    for name in names(layout):
        try:
            held = load(layout, name)
        except NotFoundError:
            continue  # removed meanwhile
        found.update(digest for digest, source in held.sources.items() if not source)
    return found


def _file(layout: Layout, name: str) -> str:
    from urllib.parse import quote  # 4 ms, which `rmi` of a store without lists does not pay

    return layout.manifest_list(quote(name, safe=""))
