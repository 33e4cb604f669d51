"""``rename``: another name for a container, whatever it is doing."""

from __future__ import annotations

from pyrun.engine import events
from pyrun.errors import InvalidInputError
from pyrun.store import containers, record_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def rename(layout: Layout, name: str, new: str) -> None:
    """Rename a container. Raises: ContainerNotFoundError; NameInUseError; InvalidInputError."""
    if not name.strip() or not new.strip():
        raise InvalidInputError("cannot rename container: neither old nor new names may be empty")
    container_id, directory = containers.resolve(layout, name)
    old = record_change.rename(layout, container_id, directory, new)
    events.container(layout, "rename", containers.load(directory), oldName=f"/{old}")
