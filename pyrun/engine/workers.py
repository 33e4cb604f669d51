"""Several at once: a few threads take the items of one list, of a pull, a push or a copy. One failure stops the rest.

It must not know what an item is.
"""

from __future__ import annotations

import threading
import time

from pyrun.layers.thread import WaitedThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Item = TypeVar("Item")

WORKERS = 4  # two keep two cores busy with inflating; four hide the latency of a registry that is far away
_AGAIN_SECONDS = 0.02  # between two looks at what somebody else is doing


class CancelledError(Exception):
    """Another item failed: this one stops."""


class Workers:
    """The threads of one command. ``abort`` wakes those that wait for a registry, when all is to stop.

    ``patience``: seconds in which they may end by themselves before, after a failure of nobody's but Ctrl-C: who sends
    something has to take it back. Without any, `abort` follows each failure at once.
    """

    def __init__(self, abort: Callable[[], None], *, patience: float = 0) -> None:
        self.cancelled = threading.Event()
        self._abort = abort
        self._patience = patience
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []

    def check(self) -> None:
        """Raises: CancelledError if this work is of no use any more; to be called between two chunks."""
        if self.cancelled.is_set():
            raise CancelledError

    def run(self, waiting: list[Item], work: Callable[[Item], bool]) -> None:
        """Call ``work`` with each item of a list, which is used up from its end; False: later, the others first.

        Raises: the first error of any, when all have ended.
        """
        threads = [WaitedThread(self._work, "pyrun-worker", (waiting, work)) for _ in range(min(WORKERS, len(waiting)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C: nobody may go on writing when what is half done is removed
            self.cancelled.set()
            begun = [thread for thread in threads if thread.ident is not None]  # else: the limit of processes
            patient_until = time.monotonic() + self._patience
            for thread in begun:
                thread.join(max(0, patient_until - time.monotonic()))
            self._abort()
            for thread in begun:
                thread.join()
            raise
        if self._errors:
            raise self._errors[0]

    def _work(self, waiting: list[Item], work: Callable[[Item], bool]) -> None:
        while not self.cancelled.is_set():
            with self._lock:
                if not waiting:
                    return
                item = waiting.pop()
            try:
                if not work(item):
                    with self._lock:
                        waiting.insert(0, item)
                    self.cancelled.wait(_AGAIN_SECONDS)
            except CancelledError:
                return
            except BaseException as error:
                with self._lock:
                    self._errors.append(error)
                self.cancelled.set()
                if not self._patience:
                    self._abort()
                return
