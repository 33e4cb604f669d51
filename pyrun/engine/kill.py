"""``kill``: a signal to a running container's first process."""

from __future__ import annotations

from pyrun.engine import events, lifecycle
from pyrun.errors import WrongStatusError
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout


def kill(layout: Layout, name: str, signal: str = "KILL") -> None:
    """Send a signal; after SIGKILL, wait until the container has ended.

    Raises: ContainerNotFoundError; WrongStatusError if it does not run; InvalidInputError for the signal.
    """
    number = lifecycle.signal_number(signal)
    _, directory = containers.resolve(layout, name)
    now = state.status(directory)
    record = containers.load(directory)
    group = lifecycle.pause_group(directory)
    if now.status == "running":
        # Recorded first: the container's `die` follows at once.
        events.container(layout, "kill", record, signal=str(number))
    if now.status != "running" or not lifecycle.send_signal(now, number):
        raise WrongStatusError("kill", name, "not running")
    if number == lifecycle.SIGKILL:
        lifecycle.wait_end(now)
        lifecycle.remove_group(group)
    elif now.paused and _ends(record, number):
        lifecycle.resume(directory)


def _ends(record: dict[str, Any], number: int) -> bool:
    """docker: any signal but one that the image, by naming another to stop it, shows not to end the container."""
    stop_signal = lifecycle.signal_number(record["stop_signal"])
    return number == stop_signal or stop_signal == lifecycle.SIGTERM
