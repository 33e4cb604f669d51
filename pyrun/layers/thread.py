"""A thread that can be waited for again when Ctrl-C has interrupted the wait.

In CPython before 3.13 a thread whose `join` is interrupted counts as ended, though it runs: the next `join` returns at
once (Lib/threading.py, `_wait_for_tstate_lock`). Who then closes what it works with gives its descriptors to others.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class WaitedThread(threading.Thread):
    """As its base; nothing waits for it when the process ends."""

    def __init__(self, target: Callable[..., object], name: str, args: tuple[object, ...] = ()) -> None:
        super().__init__(target=target, name=name, args=args, daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of one that was started."""
        self._ended.wait(timeout)
