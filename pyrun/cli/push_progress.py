"""Shows a push: rich's bars on a terminal, docker's plain lines elsewhere. It must not know how blobs are sent."""

from __future__ import annotations

from _thread import allocate_lock
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.progress import TaskID

    from pyrun.engine.push_blobs import Hear

_ENDS = {
    "pushed": "Pushed",
    "exists": "Layer already exists",
    "foreign": "Skipped foreign layer",
}
_BEGINNINGS = {"preparing": "Preparing", "packing": "Compressing", "start": "Waiting", "bytes": "Pushing"}


@contextmanager
def shown_on(stream: TextIO, *, quiet: bool) -> Iterator[Hear]:
    """Yield the callback for `push`; it is called from several threads."""
    if quiet:
        yield _deaf
    elif stream.isatty():
        with _Bars(stream) as bars:
            yield bars.hear
    else:
        yield Lines(stream).hear


def end_of(event: str, source: str) -> str:
    """Return docker's words for what has become of a layer; empty if it is on its way."""
    return f"Mounted from {source}" if event == "mounted" else _ENDS.get(event, "")


class Lines:
    """docker's lines for a pipe: each layer's begin and end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = allocate_lock()

    def hear(self, event: str, label: str, number: int = 0, source: str = "") -> None:
        """Print one event."""
        with self._lock:
            words = end_of(event, source) or (_BEGINNINGS[event] if event in ("preparing", "packing") else "")
            if event == "to":
                print(f"The push refers to repository [{label}]", file=self._stream, flush=True)
            elif words:
                print(f"{label}: {words}", file=self._stream, flush=True)


class _Bars:
    """One bar a layer."""

    def __init__(self, stream: TextIO) -> None:
        from pyrun.cli import progress

        self._tasks: dict[str, TaskID] = {}
        self._lock = allocate_lock()
        self._progress = progress.display(stream)

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._progress.stop()

    def hear(self, event: str, label: str, number: int = 0, source: str = "") -> None:
        """Move a bar."""
        with self._lock:
            if event == "to":
                self._progress.console.print(
                    f"The push refers to repository [{label}]", highlight=False, markup=False, soft_wrap=True
                )
                return
            if label not in self._tasks:
                self._tasks[label] = self._progress.add_task(label, total=None, words="")
            task, end = self._tasks[label], end_of(event, source)
            self._progress.update(task, words=end or _BEGINNINGS[event])
            if event == "start":
                self._progress.update(task, total=number)
            elif event == "bytes":
                self._progress.update(task, completed=number)
            elif end:
                total = self._progress.tasks[task].total or 0
                self._progress.update(task, total=total, completed=total)


def _deaf(event: str, label: str, number: int = 0, source: str = "") -> None:
    """Show nothing."""
