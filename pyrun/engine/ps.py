"""The list of containers.

It must not know how a list is shown. HOT: running containers are found through live/, so that ten thousand exited
ones cost nothing; with `all` each container costs one read and one question to its lock.
"""

from __future__ import annotations

from pyrun.engine.instant import parse_rfc3339
from pyrun.errors import ContainerNotFoundError, StoreCorruptError
from pyrun.runtime.state import State, status
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrun.store.layout import Layout


class Container:
    """One line of the list. `record` is container.json; times in nanoseconds since 1970; `image`: how it was named."""

    __slots__ = ("created", "directory", "id", "image", "record", "state")

    def __init__(self, container_id: str, directory: str, record: dict[str, Any], state: State) -> None:
        self.id = container_id
        self.directory = directory
        self.record = record
        self.image: str = record["image_ref"]  # see `name_images`
        self.state = state
        self.created = parse_rfc3339(record["created"])

    @property
    def health(self) -> str:
        """What its health checks have found; "none" where nothing is checked."""
        if not self.record.get("healthcheck"):
            return "none"
        from pyrun.engine import health

        return health.status(self.directory, self.record, self.state)


def list_containers(
    layout: Layout, *, all: bool = False, last: int = -1, filters: Sequence[str] = ()
) -> list[Container]:
    """List containers, newest first: the running ones, or all of them; `last` > 0: the newest n of all.

    Raises: InvalidInputError for a filter that docker does not know.
    """
    accept = None
    if filters:
        from pyrun.engine.ps_filters import compile_filters

        accept = compile_filters(filters)
        all = all or accept.wants_all
    found = []
    for container_id, directory in containers.list(layout, all or last > 0):
        container = load(container_id, directory)
        if container is not None and (all or last > 0 or container.state.is_up):
            found.append(container)
    found.sort(key=_created, reverse=True)
    if accept is not None:
        found = accept.select(found, layout)
    return found[:last] if last > 0 else found


def name_images(layout: Layout, found: Sequence[Container]) -> None:
    """Name an image by its id where what the user wrote means another one by now, or none: as docker does."""
    from pyrun.images import resolve
    from pyrun.store import index

    entries = index.entries(layout)
    named: dict[tuple[str, str], bool] = {}
    for container in found:
        key = container.image, container.record["image_id"]
        if key not in named:
            named[key] = not key[1] or resolve.means(entries, *key)
        if not named[key]:
            container.image = key[1]


def load(container_id: str, directory: str) -> Container | None:
    """Read one container; None if it was removed between being listed and being read.

    One whose record cannot be read is listed too, as dead: its id is what `rm -f` needs.
    """
    try:
        return Container(container_id, directory, containers.load_listed(directory), status(directory))
    except (ContainerNotFoundError, FileNotFoundError):
        return None
    except StoreCorruptError:
        return Container(container_id, directory, _unreadable(container_id), State("dead"))


def _unreadable(container_id: str) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(
        ("name", "image", "image_ref", "image_id", "manifest", "path", "platform", "network"), ""
    )
    record.update({key: [] for key in ("args", "ports", "mounts", "anonymous_volumes")})
    return {**record, "id": container_id, "created": "1970-01-01T00:00:00Z", "labels": {}, "ephemeral": False}


def _created(container: Container) -> int:
    return container.created
