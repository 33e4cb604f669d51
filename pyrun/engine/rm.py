"""``rm``: remove containers, and the trees that hold files of subordinate owners."""

from __future__ import annotations

from pyrun.engine import lifecycle, namespace
from pyrun.errors import ContainerNotFoundError, WrongStatusError
from pyrun.runtime import state
from pyrun.store import containers, trees
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout


def remove(layout: Layout, name: str, force: bool = False, volumes: bool = False) -> None:
    """Remove a container; ``force`` ends a running one first, ``volumes`` takes its anonymous volumes along.

    Raises: ContainerNotFoundError; WrongStatusError if it runs.
    """
    namespace.register(layout)
    container_id, directory = containers.resolve(layout, name)
    now = state.status(directory)
    if now.status == "running":
        if not force:
            raise WrongStatusError(
                "remove", name, "running", hint=f"stop it first: `pyrun stop {name}`, or use `pyrun rm -f {name}`"
            )
        lifecycle.send_signal(now, lifecycle.SIGKILL)
        lifecycle.wait_end(now)
    try:
        record = containers.load(directory)
    except ContainerNotFoundError:
        if force:
            return  # it was --rm and has removed itself
        raise
    containers.delete(layout, container_id, directory)
    if volumes:
        remove_volumes(layout, record)
    # What others left unfinished (design: swept by pull, prune, rm); a failure there is not this removal's.
    sweep(layout)


def remove_volumes(layout: Layout, record: dict[str, Any]) -> None:
    """Remove the anonymous volumes that a container was given."""
    for name in record["anonymous_volumes"]:
        trees.discard(layout, layout.volume(name))
