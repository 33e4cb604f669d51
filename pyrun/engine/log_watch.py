"""Waits for news of a container's log: inotify on its directories, a pidfd on its monitor.

It must not read the log. Imported only by `logs --follow`: inotify is reached through ctypes.
"""

from __future__ import annotations

import ctypes
import os
import select

from pyrun.runtime.state import start_time, status

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_CLOEXEC = 0o2000000
IN_NONBLOCK = 0o4000


class Watch:
    """Made before the first look at the files: what happens after it is not missed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify_fd = _checked(libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify_init1")
        self._pidfd = -1
        self._poll = select.poll()
        self._poll.register(self._inotify_fd, select.POLLIN)
        mask = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
        for path in (directory, f"{directory}/logs"):
            if os.path.isdir(path):
                _checked(libc.inotify_add_watch(self._inotify_fd, os.fsencode(path), mask), path)

    def has_ended(self) -> bool:
        """Return whether nothing more will be written; opens the monitor's pidfd while it runs."""
        state = status(self._directory)
        if state.status != "running":
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
        try:
            while os.read(self._inotify_fd, 65536):
                pass
        except BlockingIOError:
            pass
        # The monitor is the only writer: with it gone nothing more comes, even while init is still being ended.
        return self._pidfd in events or self.has_ended()

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self._inotify_fd)
        if self._pidfd >= 0:
            os.close(self._pidfd)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
