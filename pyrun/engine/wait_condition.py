"""``wait --condition``: until a container is what somebody waits for. inotify and pidfds: nothing is polled.

It must not know how it came to be so. Words: podman-wait(1), and ContainerWait of the Docker Engine API. Cold: inotify.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from pyrun.engine import health, lifecycle
from pyrun.errors import InvalidInputError
from pyrun.linux.inotify import ATTRIB, CLOSE_WRITE, MODIFY, MOVE_SELF, MOVED_TO, Inotify
from pyrun.runtime import launch, state
from pyrun.store import containers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrun.runtime.launch import Monitor
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout

NO_CODE = -1  # what podman prints for a container that has not ended
_HEALTH = (health.HEALTHY, health.UNHEALTHY)
_STATES: dict[str, Callable[[State], bool]] = {
    "configured": lambda now: now.status == "created",
    "created": lambda now: now.status == "created",
    "exited": lambda now: now.status == "exited",
    "initialized": lambda now: now.status == "created",
    "not-running": lambda now: not now.is_up,
    "paused": lambda now: now.paused,
    "running": lambda now: now.status == "running" and not now.paused,
    "stopped": lambda now: now.status == "exited",
}
CONDITIONS = (*sorted([*_STATES, *_HEALTH, "next-exit", "removed"]),)


def wait(layout: Layout, name: str, conditions: Sequence[str]) -> int:
    """Wait until one of the conditions holds; return the exit code of a container that has ended, else -1.

    One that is removed meanwhile has ended, whatever was waited for.
    Raises: InvalidInputError; ContainerNotFoundError; ConflictError for a health check that there is not.
    """
    for condition in conditions:
        if condition not in CONDITIONS:
            raise InvalidInputError(
                f"invalid condition to wait for: {condition!r}", hint=f"one of {', '.join(CONDITIONS)}"
            )
    _, directory = containers.resolve(layout, name)
    if len(conditions) == 1 and conditions[0] in _HEALTH:
        met = health.wait(directory, name, conditions[0])
        return NO_CODE if met else state.status(directory).exit_code
    with _Watch(layout, directory) as watch:
        return _wait(watch, conditions)


def _wait(watch: _Watch, conditions: Sequence[str]) -> int:
    first = watch.look()
    while True:
        now = watch.look()
        if now is None or first is None:
            return watch.code
        for condition in conditions:
            if condition == "next-exit":
                if now.finished and now.finished != first.finished:
                    return now.exit_code
            elif condition in _HEALTH:
                if health.status(watch.directory, watch.record, now) == condition:
                    return NO_CODE
            elif condition in _STATES and _STATES[condition](now):
                return now.exit_code if now.status == "exited" or condition == "not-running" else NO_CODE
        watch.wait(now)


class _Watch:
    """Wakes up when something may have changed about a container. ``code``: its last exit code that was seen."""

    def __init__(self, layout: Layout, directory: str) -> None:
        self.record = containers.load(directory)
        self.directory = directory
        self.code = 0
        self._socket_path = layout.socket(self.record["id"])
        self._monitor: Monitor | None = None
        self._inotify = Inotify()

    def __enter__(self) -> _Watch:
        # A state, a name for the health, a pause that has begun (MODIFY) or is complete (ATTRIB), the way to the trash.
        self._inotify.watch(self.directory, MODIFY | CLOSE_WRITE | ATTRIB | MOVED_TO | MOVE_SELF)
        return self

    def __exit__(self, *_: object) -> None:
        self._inotify.close()
        if self._monitor is not None:
            self._monitor.close()

    def look(self) -> State | None:
        """Return its state; None if it has been removed."""
        if not os.path.isdir(self.directory):
            while self._monitor is not None:  # its last words come after the removal
                self._receive(self._monitor)
            return None
        now = state.status(self.directory)
        if now.status == "exited":
            self.code = now.exit_code
        return now

    def wait(self, now: State) -> None:
        """Block until something has happened since the last `wait`."""
        poll = select.poll()
        poll.register(self._inotify.fd, select.POLLIN)
        # Its end changes no file: the lock is let go.
        monitor_fd = lifecycle.open_process(now.monitor, now.monitor_starttime) if now.monitor else -1
        if now.is_up and monitor_fd < 0:
            return  # it has just ended
        try:
            if monitor_fd >= 0:
                poll.register(monitor_fd, select.POLLIN)
            if self.record["ephemeral"] and now.is_up and self._monitor is None:
                self._connect()
            if self._monitor is not None:
                poll.register(self._monitor.fd, select.POLLIN)
            ready = dict(poll.poll())
            if self._monitor is not None and self._monitor.fd in ready:
                self._receive(self._monitor)
            self._inotify.drain()
        finally:
            if monitor_fd >= 0:
                os.close(monitor_fd)

    def _connect(self) -> None:
        """A --rm container takes its record along: its exit code is what its monitor says to its clients."""
        try:
            self._monitor = launch.connect(self._socket_path)
        except OSError:
            return

    def _receive(self, monitor: Monitor) -> None:
        kind, content = monitor.receive()
        if kind == "X":
            self.code = int.from_bytes(content, "little")
        if kind == "":
            monitor.close()
            self._monitor = None
