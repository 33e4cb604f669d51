"""Waits for news of a container's log: inotify on its directories, a pidfd on its monitor.

It must not read the log. Imported only by `logs --follow`.
"""

from __future__ import annotations

import os
import select

from pyrun.linux.inotify import CLOSE_WRITE, CREATE, MODIFY, MOVED_TO, Inotify
from pyrun.runtime.state import start_time, status


class Watch:
    """Made before the first look at the files: what happens after it is not missed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._inotify = Inotify()
        self._pidfd = -1
        self._poll = select.poll()
        self._poll.register(self._inotify.fd, select.POLLIN)
        for path in (directory, f"{directory}/logs"):
            if os.path.isdir(path):
                self._inotify.watch(path, MODIFY | CLOSE_WRITE | MOVED_TO | CREATE)

    def has_ended(self) -> bool:
        """Return whether nothing more will be written; opens the monitor's pidfd while it runs."""
        state = status(self._directory)
        if not state.is_up:
            return True
        if self._pidfd < 0 and state.monitor:
            return not self._watch_monitor(state.monitor, state.monitor_starttime)
        return False

    def _watch_monitor(self, pid: int, started: int) -> bool:
        """Open the monitor's pidfd; False if it is gone: then nothing would ever wake us."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        if start_time(pid) != started:  # the number belongs to another process by now
            os.close(pidfd)
            return False
        self._pidfd = pidfd
        self._poll.register(pidfd, select.POLLIN)
        return True

    def wait(self) -> bool:
        """Block until something happened; return whether the container has ended."""
        if self.has_ended():
            return True
        events = dict(self._poll.poll())
        self._inotify.drain()
        # The monitor is the only writer: with it gone nothing more comes, even while init is still being ended.
        return self._pidfd in events or self.has_ended()

    def close(self) -> None:
        """Close the descriptors."""
        self._inotify.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
