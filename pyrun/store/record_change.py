"""A container's record, changed after the container was made: its name, its restart policy.

It must not know what a field means beyond name and ephemeral. Readers never lock: container.json is replaced by one
rename, so that `ps` reads one file a container, whatever happened to it. Writers are one at a time: names.lock.
"""

from __future__ import annotations

import os

from pyrun.errors import ContainerNotFoundError, InvalidInputError
from pyrun.store import containers, fsio, new_container, owner, sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.store.layout import Layout


def change(layout: Layout, directory: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Let ``edit`` change a container's record as it is now. Raises: ContainerNotFoundError; StorageFullError."""
    with fsio.FileLock(layout.names_lock, exclusive=True):
        record = containers.load_file(directory, "container.json", verified=True)
        edit(record)
        _replace(layout, directory, record)


def rename(layout: Layout, container_id: str, directory: str, new: str) -> str:
    """Give a container another name; return the one that it had.

    New link, record, old link, in this order: killed in between, the container is found by both names, and the one
    that its record does not say is anybody's to take (`new_container.refuse_taken`).
    Raises: NameInUseError; InvalidInputError; ContainerNotFoundError; StorageFullError.
    """
    new = new_container.check_name(new)
    with fsio.FileLock(layout.names_lock, exclusive=True):
        record = containers.load_file(directory, "container.json", verified=True)
        old: str = record["name"]
        if new == old:
            raise InvalidInputError(f"cannot rename container: {old}: the new name is its current name")
        new_container.take_name_locked(layout, new, directory, container_id)
        try:
            record["name"] = new
            _replace(layout, directory, record)
        except BaseException:
            os.unlink(layout.name(new))
            raise
        if old and containers.holder(layout, old) == directory:
            fsio.unlink_quietly(layout.name(old))
    return old


def _replace(layout: Layout, directory: str, record: dict[str, Any]) -> None:
    ephemeral = bool(record.get("ephemeral"))
    temporary = f"{layout.tmp}/{owner.token()}"
    try:
        fsio.write_atomic(f"{directory}/container.json", sealed.seal(record), temporary=temporary, sync=not ephemeral)
    except FileNotFoundError:  # removed meanwhile
        raise ContainerNotFoundError(directory.rpartition("/")[2][:12]) from None
