"""``kill``: a signal to a running container's first process."""

from __future__ import annotations

from pyrun.engine import events, lifecycle, restart_policy
from pyrun.engine.together import alone, end_of_monitor, together
from pyrun.errors import WrongStatusError
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pyrun.engine.together import Outcome, Work
    from pyrun.store.layout import Layout


def kill(layout: Layout, name: str, signal: str = "KILL") -> None:
    """Send a signal; after SIGKILL, wait until the container has ended. As `stop`, it ends the restarts.

    Raises: ContainerNotFoundError; WrongStatusError if it does not run; InvalidInputError for the signal.
    """
    alone(steps(layout, name, lifecycle.signal_number(signal)))


def kill_all(layout: Layout, names: Sequence[str], signal: str = "KILL") -> Iterator[Outcome]:
    """Signal containers as `kill` does, all at once. Raises: InvalidInputError for the signal."""
    number = lifecycle.signal_number(signal)
    return together(names, lambda name: steps(layout, name, number))


def steps(layout: Layout, name: str, number: int) -> Work:
    """Do the work of `kill` for one container."""
    _, directory = containers.resolve(layout, name)
    now = state.status(directory)
    record = containers.load(directory)
    group = lifecycle.pause_group(directory)
    ends = now.is_up and _ends(record, number)
    if now.is_up:
        # Recorded first: the container's `die` follows at once.
        events.container(layout, "kill", record, signal=str(number))
        restart_policy.mark_stopped(directory)
    if ends:
        lifecycle.end_restarts(now)
        now = state.status(directory)  # once more: it may have been started again before the monitor was told
    if now.status == "restarting":  # nothing is there to be signalled
        if ends:
            yield end_of_monitor(now)
        return
    is_signalled = now.status == "running" and lifecycle.send_signal(now, number)
    # One that its policy would have started again is not "not running" because it has just ended by itself.
    if not is_signalled and not (ends and restart_policy.read(directory).name != "no"):
        raise WrongStatusError("kill", name, "not running")
    if number == lifecycle.SIGKILL:
        yield end_of_monitor(now)
        lifecycle.remove_group(group)
    elif now.paused and ends:
        lifecycle.resume(directory)


def _ends(record: dict[str, Any], number: int) -> bool:
    """docker: any signal but one that the image, by naming another to stop it, shows not to end the container."""
    stop_signal = lifecycle.signal_number(record["stop_signal"])
    return number in (lifecycle.SIGKILL, stop_signal) or stop_signal == lifecycle.SIGTERM
