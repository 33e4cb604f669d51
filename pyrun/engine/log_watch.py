"""Waits for news of a container's log: inotify on its directories, a pidfd on its monitor, the clock for --until.

It must not read the log. Imported only by `logs --follow`.
"""

from __future__ import annotations

import errno
import os
import select

from pyrun.linux import timerfd
from pyrun.linux.inotify import CLOSE_WRITE, CREATE, MODIFY, MOVED_TO, Inotify
from pyrun.runtime.state import is_locked, start_time, status

_NO_INOTIFY_MS = 200


class Watch:
    """Made before the first look at the files: what happens after it is not missed."""

    def __init__(self, directory: str, log_directory: str | None, *, is_ephemeral: bool, until: int | None) -> None:
        self._directory = directory
        self._is_ephemeral = is_ephemeral
        self._poll = select.poll()
        self._pidfd = -1
        self._timer_fd = -1 if until is None else timerfd.at(until)
        if until is not None:
            self._poll.register(self._timer_fd, select.POLLIN)
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify()
        except OSError as error:
            # 128 are all a user has, fs.inotify.max_user_instances: then by looking again and again, inotify(7).
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            return
        self._poll.register(self._inotify.fd, select.POLLIN)
        for path in {directory} if log_directory is None else {directory, log_directory, f"{directory}/logs"}:
            if os.path.isdir(path):
                self._inotify.watch(path, MODIFY | CLOSE_WRITE | MOVED_TO | CREATE)

    def has_ended(self) -> bool:
        """Return whether nothing more will be written; opens the monitor's pidfd while it runs."""
        state = status(self._directory)
        if not state.is_up and not is_locked(self._directory):
            return True
        # The monitor of a --rm container removes the log when all is written; until then it waits for us.
        if self._is_ephemeral and self._has_exit_record():
            return True
        if self._pidfd < 0 and state.monitor:
            return not self._watch_monitor(state.monitor, state.monitor_starttime)
        return False

    def _has_exit_record(self) -> bool:
        try:
            with open(f"{self._directory}/exit", "rb", buffering=0) as file:
                return file.read(1) not in (b"", b"\0")
        except FileNotFoundError:
            return True

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
        """Block until something happened; return whether the container has ended, or is taken for it."""
        if self.has_ended():
            return True
        events = dict(self._poll.poll(None if self._inotify else _NO_INOTIFY_MS))
        if self._inotify:
            self._inotify.drain()
        # The monitor is the only writer: with it gone nothing more comes, even while init is still being ended.
        return self._pidfd in events or self._timer_fd in events or self.has_ended()

    def close(self) -> None:
        """Close the descriptors."""
        if self._inotify:
            self._inotify.close()
        for fd in (self._pidfd, self._timer_fd):
            if fd >= 0:
                os.close(fd)
