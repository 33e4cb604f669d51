"""``stop``: ask, wait, then end."""

from __future__ import annotations

from pyrun.engine import events, lifecycle, restart_policy
from pyrun.engine.together import alone, end_of_init, end_of_monitor, together
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyrun.engine.together import Outcome, Work
    from pyrun.store.layout import Layout


def stop(layout: Layout, name: str, timeout: int | None = None, signal: str | None = None) -> None:
    """Send the stop signal, and SIGKILL after ``timeout`` seconds (-1: never); one that does not run is fine.

    The container's own --stop-signal and --stop-timeout (10 s) unless given. Returns when its record is written.
    """
    alone(steps(layout, name, timeout, signal))


def stop_all(
    layout: Layout, names: Sequence[str], timeout: int | None = None, signal: str | None = None
) -> Iterator[Outcome]:
    """Stop containers as `stop` does, all at once. Raises: InvalidInputError for the signal."""
    if signal:
        lifecycle.signal_number(signal)
    return together(names, lambda name: steps(layout, name, timeout, signal))


def steps(layout: Layout, name: str, timeout: int | None, signal: str | None) -> Work:
    """Do the work of `stop` for one container."""
    number = lifecycle.signal_number(signal) if signal else None
    _, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    now = state.status(directory)
    if not now.is_up:
        return
    restart_policy.mark_stopped(directory)
    lifecycle.end_restarts(now)
    now = state.status(directory)  # once more: it may have been started again before the monitor was told
    seconds = record["stop_timeout"] if timeout is None else timeout
    chosen = number or lifecycle.signal_number(record["stop_signal"])
    group = lifecycle.pause_group(directory)
    is_there = now.status == "running"
    if is_there:
        events.container(layout, "kill", record, signal=str(chosen))
        is_there = lifecycle.send_signal(now, chosen)
    if chosen != lifecycle.SIGKILL:
        lifecycle.resume(directory)
    if is_there and not (yield end_of_init(now, None if seconds < 0 else seconds)):
        events.container(layout, "kill", record, signal=str(lifecycle.SIGKILL))
        lifecycle.send_signal(now, lifecycle.SIGKILL)
    yield end_of_monitor(now)
    lifecycle.remove_group(group)
    events.container(layout, "stop", record)
