"""Who outlives an ``exec -d``: the parent of its process, native/monitor/waiter.c.

A container's first process is often one that reaps nothing, and would keep what has ended for ever.
"""

from __future__ import annotations

import os

from pyrun.runtime.launch import LIBEXEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.engine.events import Exec


class Waiter:
    """What it is given: its program, our word to go on, the record of events and what it writes there at the end."""

    __slots__ = ("_go_writer", "event", "go_fd", "program_fd", "record_fd")

    def __init__(self, record_event: Exec) -> None:
        self.record_fd, event = record_event.until_exit()
        self.event = event + b"\0"
        self.program_fd = os.open(LIBEXEC + "/pyrun-monitor", os.O_PATH | os.O_CLOEXEC)
        self.go_fd, self._go_writer = os.pipe()

    def let_go(self, *, is_started: bool) -> None:
        """All that comes before the end of the process is recorded; or there is none, and no end to tell."""
        if not is_started:
            os.write(self._go_writer, b"-")
        for fd in (self.program_fd, self.go_fd, self._go_writer, self.record_fd):
            if fd >= 0:
                os.close(fd)
