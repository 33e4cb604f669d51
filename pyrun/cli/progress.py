"""Shows a pull: rich's bars on a terminal, docker's plain lines elsewhere. It must not know how layers are fetched."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

    Hear = Callable[[str, str, int], None]


_WORDS = {"start": "Pulling fs layer", "exists": "Already exists", "done": "Pull complete"}


@contextmanager
def shown_on(stream: TextIO, image: str) -> Iterator[Hear]:
    """Yield the callback for `pull`; it is called from several threads."""
    if stream.isatty():
        with _Bars(stream, image) as bars:
            yield bars.hear
    else:
        yield Lines(stream, image).hear


def short(digest: str) -> str:
    """Return docker's twelve digits of a digest."""
    return digest.partition(":")[2][:12]


class Lines:
    """docker's lines for a pipe: each layer's begin and end."""

    def __init__(self, stream: TextIO, image: str) -> None:
        self._stream = stream
        self._image = image
        self._lock = threading.Lock()

    def hear(self, event: str, what: str, number: int) -> None:
        """Print one event."""
        with self._lock:
            if event == "resolved":
                print(f"Pulling from {self._image}", file=self._stream, flush=True)
            elif event in _WORDS:
                print(f"{short(what)}: {_WORDS[event]}", file=self._stream, flush=True)


class _Bars:
    """One bar a layer."""

    def __init__(self, stream: TextIO, image: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._image = image
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._progress: Progress = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TextColumn("{task.fields[words]}"), console=Console(file=stream),
        )  # fmt: skip

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._progress.stop()

    def hear(self, event: str, what: str, number: int) -> None:
        """Move a bar."""
        with self._lock:
            if event == "resolved":
                self._progress.console.print(f"Pulling from {self._image}", highlight=False, markup=False)
            elif event in ("start", "exists"):
                words = "Downloading" if event == "start" else "Already exists"
                self._tasks[what] = self._progress.add_task(
                    short(what), total=number, words=words, completed=number if event == "exists" else 0
                )
            elif what in self._tasks:
                self._move(self._tasks[what], event, number)

    def _move(self, task: TaskID, event: str, number: int) -> None:
        if event == "bytes":
            self._progress.advance(task, number)
        elif event == "unpacked":
            self._progress.update(task, words="Unpacked")
        elif event == "done":
            self._progress.update(task, words="Pull complete")
