"""``restart``: stop where it runs, then start."""

from __future__ import annotations

import os

from pyrun.engine import events, lifecycle, stop
from pyrun.engine.together import alone, together
from pyrun.errors import ContainerNotFoundError
from pyrun.store import containers, fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyrun.engine.together import Outcome, Work
    from pyrun.store.layout import Layout


def restart(layout: Layout, name: str, timeout: int | None = None, signal: str | None = None) -> None:
    """Start a container again, whatever it is doing; what runs is stopped first, as `stop.stop` does.

    Raises: ContainerNotFoundError; InvalidInputError for the signal; as `start.start`.
    """
    alone(_steps(layout, name, timeout, signal))


def restart_all(
    layout: Layout, names: Sequence[str], timeout: int | None = None, signal: str | None = None
) -> Iterator[Outcome]:
    """Restart containers as `restart` does, all at once. Raises: InvalidInputError for the signal."""
    if signal:
        lifecycle.signal_number(signal)
    return together(names, lambda name: _steps(layout, name, timeout, signal))


def _steps(layout: Layout, name: str, timeout: int | None, signal: str | None) -> Work:
    container_id, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    kept = f"{directory}/{containers.KEPT}"
    if record["ephemeral"]:
        _keep(kept, record["name"])
    try:
        yield from stop.steps(layout, container_id, timeout, signal)
        from pyrun.engine import start

        start.start(layout, container_id)
    finally:
        fsio.unlink_quietly(kept)
    events.container(layout, "restart", record)


def _keep(path: str, name: str) -> None:
    """Tell the container's monitor, and who sweeps, that a --rm container is about to be started again."""
    try:
        fsio.write_new(path, owner.token().encode())
    except FileNotFoundError:
        raise ContainerNotFoundError(name) from None  # it has just removed itself
    except FileExistsError:
        # Another restart, or one that was killed: the token is to be that of who will start it.
        os.unlink(path)
        _keep(path, name)
