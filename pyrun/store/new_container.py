"""A container's directory in the making: built in tmp/ under its owner's token, in place by one rename.

It must not know what a record's fields mean beyond id, name and ephemeral. Once it is there: store/containers.py.
"""

from __future__ import annotations

import os

from pyrun.oci import json
from pyrun.store import containers, fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyrun.store.layout import Layout

EXIT_SLOT_BYTES = 64


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


def create(layout: Layout, record: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Make a container's directory and take its name; return the directory.

    ``record`` becomes container.json; its id, name and ephemeral decide where. ``files`` are written beside it
    (config.json, rootfs.json). An empty name in the record gets none. All or nothing; safe against kill -9.
    Raises: NameInUseError; InvalidInputError for the name; StorageFullError.
    """
    container_id: str = record["id"]
    name = containers.check_name(record["name"]) if record.get("name") else ""
    ephemeral = bool(record.get("ephemeral"))
    if name:
        containers.refuse_taken(layout, name)
    building = f"{layout.tmp}/{owner.token(container_id)}"
    target = containers.directory(layout, container_id, ephemeral=ephemeral)
    try:
        _build(building, record, files, ephemeral=ephemeral)
        os.rename(building, target)
        if name:
            containers.take_name(layout, name, target, container_id)
    except BaseException:
        from pyrun.store import trees

        trees.remove_tree(building)
        containers.drop(layout, container_id, ephemeral=ephemeral)
        raise
    return target


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
    fsio.write_new(f"{building}/container.json", json.dumps(dict(record)).encode("ascii"))
    if not ephemeral:
        # Before the directory has its name: who finds a container after a power loss finds it whole.
        fsio.sync_files([f"{building}/{name}" for name in (*files, "container.json")])
