"""What `fsck --repair` found damaged and took away: kept until the user says otherwise, never removed by itself.

It must not know what is damaged. A file is linked here before the right bytes take its name by rename, or
copied before they are written over the wrong ones; a directory is renamed. A name says what the thing was:
KIND-ALGORITHM-HEX[-FORM]-RANDOM. Cold.
"""

from __future__ import annotations

import os

from pyrun.store import fsio, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def keep_file(layout: Layout, path: str, what: str) -> str:
    """Keep a file also here, whatever takes its name now; return where, "" if it is gone. Raises: OSError."""
    target = _new(layout, what)
    try:
        os.link(path, target)
    except FileNotFoundError:
        return ""
    return target


def keep_copy(layout: Layout, data: bytes, what: str) -> str:
    """Keep what is in a file that is written over; return where. Raises: OSError, StorageFullError."""
    target = _new(layout, what)
    fsio.write_new(target, data)
    return target


def take(layout: Layout, path: str, what: str) -> str:
    """Move a file or directory here; return where it is now, "" if it is gone. Raises: OSError."""
    target = _new(layout, what)
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return ""
    return target


def names(layout: Layout) -> list[str]:
    """Return what is here."""
    try:
        return sorted(os.listdir(layout.quarantine))
    except FileNotFoundError:
        return []


def remove_all(layout: Layout) -> list[str]:
    """Remove what is here; return the names. Raises: as `trees.remove_tree`."""
    found = names(layout)
    for name in found:
        trees.remove_tree(f"{layout.quarantine}/{name}")
    return found


def _new(layout: Layout, what: str) -> str:
    fsio.make_directory(layout.quarantine)
    return f"{layout.quarantine}/{what.replace(':', '-').replace('/', '-')}-{os.urandom(4).hex()}"
