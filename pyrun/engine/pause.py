"""``pause`` and ``unpause``: the container's processes stopped by the kernel, and running again."""

from __future__ import annotations

from pyrun.engine import events
from pyrun.errors import KernelError, WrongStatusError
from pyrun.runtime import state
from pyrun.runtime.pause import Pause
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def pause(layout: Layout, name: str) -> None:
    """Stop all processes of a running container. Raises: ContainerNotFoundError; WrongStatusError; KernelError."""
    _, directory = containers.resolve(layout, name)
    _check_running(directory, "pause", name)
    with Pause(directory) as record:
        now = state.status(directory)
        if now.paused:
            raise WrongStatusError("pause", name, "already paused")
        try:
            record.stop(now)
        except KernelError as error:
            raise KernelError(f"cannot pause container: {name}: {error.message}", hint=error.hint) from error
        if state.status(directory).status != "running":  # it has been ended meanwhile
            record.clear()
            raise WrongStatusError("pause", name, "not running any more")
        events.container(layout, "pause", containers.load(directory))


def unpause(layout: Layout, name: str) -> None:
    """Let a paused container's processes run. Raises: ContainerNotFoundError; WrongStatusError."""
    _, directory = containers.resolve(layout, name)
    _check_running(directory, "unpause", name)
    with Pause(directory) as record:
        # Also what a pause that was killed half-way has stopped.
        if not record.pid:
            raise WrongStatusError("unpause", name, "not paused")
        record.resume()
        events.container(layout, "unpause", containers.load(directory))


def _check_running(directory: str, verb: str, name: str) -> None:
    if state.status(directory).status != "running":
        raise WrongStatusError(verb, name, "not running", hint=f"`pyrun start {name}` starts it")
