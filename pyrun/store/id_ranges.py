"""Ranges of the engine's ids that belong to one container each: what ``--userns=auto`` takes.

It must not know what the ids are for. A range is a symlink START-SIZE -> RECORD/TOKEN, made under names.lock: RECORD is
the container's directory, TOKEN who makes it, none once it is made. A range is free again when the directory is gone,
whoever removed it, and nobody is making it.
"""

from __future__ import annotations

import os

from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout

# `nobody` of all who see the ids as they are: no range goes as far.
_CEILING = 65534


def take(layout: Layout, directory: str, size: int, ids: int) -> str:
    """Take the highest free range of ``size`` among the ids 1 to ``ids`` - 1 for the container at ``directory``.

    From above, as below are those of the containers that see all ids: their root, users and daemons. Returns
    START-SIZE, or "" where none is free. Raises: StorageFullError.
    """
    os.makedirs(layout.id_ranges, mode=0o700, exist_ok=True)
    with fsio.FileLock(layout.names_lock, exclusive=True):
        end = min(ids, _CEILING)
        for start, taken in sorted(_living(layout), reverse=True):
            if end - size >= start + taken:
                break
            end = min(end, start)
        if end - size < 1:
            return ""
        name = f"{end - size}-{size}"
        try:
            os.symlink(f"{directory}/{owner.token()}", layout.id_range(name))
        except OSError as error:
            raise fsio.full_or(error, layout.id_range(name)) from error
        return name


def settle(layout: Layout, name: str, directory: str) -> None:
    """Say that the container has been made: from now on its directory alone keeps the range."""
    temporary = f"{layout.tmp}/{owner.token()}"
    os.symlink(f"{directory}/", temporary)
    os.rename(temporary, layout.id_range(name))


def release(layout: Layout, name: str, directory: str) -> None:
    """Give a range back if it is still that container's."""
    with fsio.FileLock(layout.names_lock, exclusive=True):
        if _holder(layout, name)[0] == directory:
            fsio.unlink_quietly(layout.id_range(name))


def sweep(layout: Layout) -> None:
    """Remove the ranges of containers that are gone."""
    if os.path.isdir(layout.id_ranges):
        with fsio.FileLock(layout.names_lock, exclusive=True):
            _living(layout)


def _living(layout: Layout) -> list[tuple[int, int]]:
    """Return (start, size) of the ranges in use; removes the others."""
    found = []
    for name in os.listdir(layout.id_ranges):
        directory, token = _holder(layout, name)
        if os.path.isdir(directory) or (token and not owner.is_dead(token)):
            start, _, size = name.partition("-")
            found.append((int(start), int(size)))
        else:
            fsio.unlink_quietly(layout.id_range(name))
    return found


def _holder(layout: Layout, name: str) -> tuple[str, str]:
    try:
        directory, _, token = os.readlink(layout.id_range(name)).rpartition("/")
    except OSError:
        return "", ""
    return directory, token
