"""Blobs that `system prune --blobs` has taken, and who has them still: a push or a save fetches them again.

It must not fetch. A symlink for each, as it is made and read by one call and takes no block of the disk. It means
something only while the blob is not there.
"""

from __future__ import annotations

import os

from pyrun.store import blobs, fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pyrun.store.layout import Layout

_MOST_BYTES = 4000  # symlink(2): a target is shorter than PATH_MAX


def remember(layout: Layout, digest: str, repositories: Sequence[str]) -> None:
    """Note who has a blob, ``HOST/NAME`` each, before it is dropped. Raises: StorageFullError."""
    fsio.make_directory(layout.dropped_blobs)
    text = ""
    for name in repositories:
        if len(text) + len(name) < _MOST_BYTES:
            text += f" {name}" if text else name
    path = layout.dropped(digest)
    fsio.unlink_quietly(path)
    try:
        os.symlink(text, path)
    except OSError as error:
        raise fsio.full_or(error, path) from error


def repositories(layout: Layout, digest: str) -> list[str]:
    """Return who has a blob that was dropped and is not there; empty for every other blob."""
    return [] if blobs.exists(layout, digest) else _noted(layout, digest)


def _noted(layout: Layout, digest: str) -> list[str]:
    try:
        return os.readlink(layout.dropped(digest)).split()
    except OSError:
        return []


def is_there_or_dropped(layout: Layout, digest: str) -> bool:
    """Say whether the store has a blob, or has dropped it knowingly."""
    return blobs.exists(layout, digest) or bool(_noted(layout, digest))


def forget_all_but(layout: Layout, needed: Collection[str]) -> None:
    """Forget those that nothing needs any more."""
    try:
        names = os.listdir(layout.dropped_blobs)
    except FileNotFoundError:
        return
    for name in names:
        if f"sha256:{name}" not in needed:
            fsio.unlink_quietly(f"{layout.dropped_blobs}/{name}")
