"""The same verb for many containers at once, without threads: one poll(2) over all that is waited for.

A verb's work is a generator. It yields an `End` where it would wait, and gets whether that has come, in time.
It must not know which verb it is. HOT.
"""

from __future__ import annotations

import os
import select
import time

from pyrun.engine import lifecycle
from pyrun.errors import PyrunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any

    from pyrun.runtime.state import State

    Work = Generator["End", bool, Any]
    # What became of one: its name, the work's result, the error that ended it.
    Outcome = tuple[str, Any, PyrunError | None]

# One descriptor each, of the 1,024 that a process may have by default; and docker's client does 50.
_AT_ONCE = 200


class End:
    """The end of a process, waited for at most ``seconds`` (None: for ever)."""

    __slots__ = ("pid", "seconds", "starttime")

    def __init__(self, pid: int, starttime: int, seconds: float | None = None) -> None:
        self.pid = pid
        self.starttime = starttime
        self.seconds = seconds


def end_of_init(now: State, seconds: float | None) -> End:
    """Return the end of a container's first process."""
    return End(now.pid, now.starttime, seconds)


def end_of_monitor(now: State) -> End:
    """Return the end of a container's monitor: all is written down then."""
    return End(now.monitor, now.monitor_starttime)


class _Task:
    __slots__ = ("deadline", "error", "fd", "is_done", "name", "result", "work")

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.result: Any = None
        self.error: PyrunError | None = None
        self.work = work
        self.fd = -1
        self.deadline: float | None = None
        self.is_done = False

    def go_on(self, value: bool | None) -> None:
        """Work until there is something to wait for, or to the end."""
        while not self.is_done:
            try:
                # None starts a generator; mypy's view of `send` is that of one that has been started.
                wanted = self.work.send(value)  # type: ignore[arg-type]
            except StopIteration as end:
                self.result, self.is_done = end.value, True
            except PyrunError as error:
                self.error, self.is_done = error, True
            else:
                self.fd = lifecycle.open_process(wanted.pid, wanted.starttime)
                if self.fd >= 0:
                    self.deadline = None if wanted.seconds is None else time.monotonic() + wanted.seconds
                    return
                value = True


def together(names: Iterable[str], begin: Callable[[str], Work]) -> Iterator[Outcome]:
    """Do the work for each name, all at once; give the outcomes in the order of the names, each as soon as may be."""
    waiting: dict[int, _Task] = {}
    poll = select.poll()
    unseen: list[_Task] = []
    for name in names:
        while len(waiting) >= _AT_ONCE:
            _turn(poll, waiting)
        task = _Task(name, begin(name))
        unseen.append(task)
        _go_on(poll, waiting, task, None)
    for task in unseen:
        while not task.is_done:
            _turn(poll, waiting)
        yield task.name, task.result, task.error


def alone(work: Work) -> Any:
    """Do the work of one and return its result. Raises: what it raises."""
    ((_, result, error),) = together([""], lambda _: work)
    if error is not None:
        raise error
    return result


def _turn(poll: select.poll, waiting: dict[int, _Task]) -> None:
    deadlines = [task.deadline for task in waiting.values() if task.deadline is not None]
    left = None if not deadlines else max(0.0, min(deadlines) - time.monotonic()) * 1000
    ended = {fd for fd, _ in poll.poll(left)}
    now = time.monotonic()
    for fd, task in [*waiting.items()]:
        if fd in ended or (task.deadline is not None and task.deadline <= now):
            poll.unregister(fd)
            os.close(fd)
            del waiting[fd]
            _go_on(poll, waiting, task, fd in ended)


def _go_on(poll: select.poll, waiting: dict[int, _Task], task: _Task, value: bool | None) -> None:
    task.go_on(value)
    if not task.is_done:
        waiting[task.fd] = task
        poll.register(task.fd, select.POLLIN)
