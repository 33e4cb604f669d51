"""A container in the making: its directory, built in tmp/, in place by one rename; its name, taken by symlink(2).

It must not know what a record's fields mean beyond id, name and ephemeral. Once it is there: store/containers.py.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError, NameInUseError
from pyrun.store import containers, fsio, owner, sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyrun.store.layout import Layout

EXIT_SLOT_BYTES = 64
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def new_id() -> str:
    """Return 64 random hexadecimal digits that are not all decimal in the first 12.

    A hostname of digits alone reads as a number in too many programs: docker draws again too.
    """
    while True:
        candidate = os.urandom(32).hex()
        if not candidate[:12].isdigit():
            return candidate


def random_name(layout: Layout) -> str:
    """Return a name like ``quiet_hopper`` that no container has at this moment."""
    from pyrun.store import names

    for attempt in range(20):
        name = names.draw(attempt)
        if not os.path.lexists(layout.name(name)):
            return name
    return names.draw(0) + os.urandom(4).hex()


def check_name(name: str) -> str:
    """Return a container name without the leading slash that docker shows. Raises: InvalidInputError."""
    bare = name.removeprefix("/")
    if len(bare) < 2 or bare[0] not in _LETTERS or bare.strip(_LETTERS + "_.-"):
        raise InvalidInputError(
            f"invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="begin with a letter or digit, and take two characters at least",
        )
    if len(bare) > 255:  # NAME_MAX: the name is a file name
        raise InvalidInputError(f"invalid container name ({bare[:20]}...): longer than 255 characters")
    return bare


def create(layout: Layout, record: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Make a container's directory and take its name; return the directory.

    ``record`` becomes container.json; its id, name and ephemeral decide where. ``files`` are written beside it
    (config.json, rootfs.json). An empty name in the record gets none. All or nothing; safe against kill -9.
    Raises: NameInUseError; InvalidInputError for the name; StorageFullError.
    """
    container_id: str = record["id"]
    name = check_name(record["name"]) if record.get("name") else ""
    ephemeral = bool(record.get("ephemeral"))
    if name:
        refuse_taken(layout, name)
    building = f"{layout.tmp}/{owner.token(container_id)}"
    target = containers.directory(layout, container_id, ephemeral=ephemeral)
    try:
        _build(building, record, files, ephemeral=ephemeral)
        os.rename(building, target)
        if name:
            take_name(layout, name, target, container_id)
    except BaseException:
        from pyrun.store import trees

        trees.remove_tree(building)
        containers.drop(layout, container_id, ephemeral=ephemeral)
        raise
    return target


def create_unnamed(layout: Layout, record: dict[str, Any], files: Mapping[str, bytes]) -> str:
    """Make a container as `create` does; its random name becomes another where a process has drawn the same by now."""
    while True:
        try:
            return create(layout, record, files)
        except NameInUseError:
            record["name"] = random_name(layout)


def _build(building: str, record: Mapping[str, Any], files: Mapping[str, bytes], *, ephemeral: bool) -> None:
    try:
        for part in ("", "/rootfs", "/logs", "/work"):
            os.mkdir(building + part, 0o700)
        # The mode of upper is the mode of "/" inside: 0755 whatever our umask is.
        os.mkdir(f"{building}/upper", 0o755)
        os.chmod(f"{building}/upper", 0o755)  # noqa: S103
        if ephemeral:
            # So that a sweep can tell one whose maker was killed, or that a reboot has ended.
            os.symlink(owner.token(), f"{building}/owner")
    except OSError as error:
        raise fsio.full_or(error, building) from error
    for name, data in files.items():
        fsio.write_new(f"{building}/{name}", data)
    fsio.write_new(f"{building}/lock", b"")
    # Written, not truncated to length: a hole could not be filled on a full disk, and the exit code would be lost.
    fsio.write_new(f"{building}/exit", bytes(EXIT_SLOT_BYTES))
    fsio.write_new(f"{building}/container.json", sealed.seal(dict(record)))
    if not ephemeral:
        # Before the directory has its name: who finds a container after a power loss finds it whole.
        fsio.sync_files([f"{building}/{name}" for name in (*files, "container.json")])


def take_name(layout: Layout, name: str, target: str, container_id: str) -> None:
    """Give a name to the container whose directory ``target`` is. Raises: NameInUseError; StorageFullError."""
    link = layout.name(name)
    try:
        os.symlink(_link_value(layout, target, container_id), link)
        return
    except FileExistsError:
        pass
    except OSError as error:
        raise fsio.full_or(error, link) from error
    with fsio.FileLock(layout.names_lock, exclusive=True):
        take_name_locked(layout, name, target, container_id)


def take_name_locked(layout: Layout, name: str, target: str, container_id: str) -> None:
    """Give a name as `take_name` does, by a caller who holds names.lock. Raises: NameInUseError; StorageFullError."""
    value = _link_value(layout, target, container_id)
    while not _replace_dead(layout, name, value):
        # It is free. Not by rename: others take a free name without the lock, and would lose it.
        try:
            os.symlink(value, layout.name(name))
        except FileExistsError:
            continue
        except OSError as error:
            raise fsio.full_or(error, layout.name(name)) from error
        return


def _link_value(layout: Layout, target: str, container_id: str) -> str:
    return f"../{'ephemeral' if target.startswith(layout.ephemeral + '/') else 'containers'}/{container_id}"


def _replace_dead(layout: Layout, name: str, value: str) -> bool:
    """Take over, under the lock, a name whose container is gone (a reboot ends those with --rm).

    By rename, so that it is never free. Returns False where it is. Raises: NameInUseError.
    """
    if not refuse_taken(layout, name):
        return False
    temporary = f"{layout.tmp}/{owner.token()}"
    os.symlink(value, temporary)
    os.rename(temporary, layout.name(name))
    return True


def refuse_taken(layout: Layout, name: str) -> bool:
    """Raise NameInUseError if a container has the name; False if it is free.

    True if it may be taken over: it leads to a container that is gone, or to one that was renamed by a process that
    was killed before it could remove the old link (under names.lock: nobody is just doing that).
    """
    found = containers.holder(layout, name)
    if os.path.isdir(found) and containers.is_named(found, name):
        raise NameInUseError(name, found.rpartition("/")[2])
    return bool(found)
