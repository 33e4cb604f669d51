"""Shows a pull: rich's bars on a terminal, docker's plain lines elsewhere. It must not know how layers are fetched."""

from __future__ import annotations

from _thread import allocate_lock

from pyrun.oci import digest, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TextIO

    from rich.progress import Progress, TaskID

    Hear = Callable[[str, str, int], None]


_WORDS = {"start": "Pulling fs layer", "waiting": "Waiting", "exists": "Already exists", "done": "Pull complete"}
_BEGINNINGS = {"start": "Downloading", "waiting": "Waiting", "exists": "Already exists"}


def shown_on(stream: TextIO) -> AbstractContextManager[Hear]:
    """Give the callback for `pull`, to be used in a ``with`` block; it is called from several threads."""
    return _Bars(stream) if stream.isatty() else Lines(stream)


def heading(text: str) -> str:
    """Return docker's first line of a pull, for a whole reference: ``latest: Pulling from library/debian``."""
    found = reference.parse(text)
    return f"{text if found.digest else found.tag}: Pulling from {found.path}"


def bars_on(stream: TextIO, begun: str, done: str) -> AbstractContextManager[Hear]:
    """Give a callback that draws a bar a layer on a terminal; the words are for one that is begun, and done."""
    return _Bars(stream, begun, done)


def display(stream: TextIO) -> Progress:
    """Return what draws bars, each a task with a field ``words``."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TextColumn("{task.fields[words]}"), console=Console(file=stream),
    )  # fmt: skip


class Lines:
    """docker's lines for a pipe: each layer's begin and end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._heading = ""
        self._told: set[tuple[str, str]] = set()
        self._lock = allocate_lock()

    def __enter__(self) -> Hear:
        return self.hear

    def __exit__(self, *failure: object) -> None:
        """Every line is out already."""

    def hear(self, event: str, what: str, number: int) -> None:
        """Print one event."""
        with self._lock:
            if event == "from":
                self._heading = heading(what)
            elif event == "resolved":
                print(self._heading, file=self._stream, flush=True)
            elif event in _WORDS and (event, what) not in self._told:
                self._told.add((event, what))  # damaged bytes are fetched anew: that begins twice
                print(f"{digest.short(what)}: {_WORDS[event]}", file=self._stream, flush=True)


class _Bars:
    """One bar a layer."""

    def __init__(self, stream: TextIO, begun: str = "Downloading", done: str = "Pull complete") -> None:
        self._heading = ""
        self._beginnings = {**_BEGINNINGS, "start": begun}
        self._done = done
        self._tasks: dict[str, TaskID] = {}
        self._lock = allocate_lock()
        self._progress = display(stream)

    def __enter__(self) -> Hear:
        self._progress.start()
        return self.hear

    def __exit__(self, *failure: object) -> None:
        self._progress.stop()

    def hear(self, event: str, what: str, number: int) -> None:
        """Move a bar."""
        with self._lock:
            if event == "from":
                self._heading = heading(what)
            elif event == "resolved":
                self._progress.console.print(self._heading, highlight=False, markup=False)
            elif event in self._beginnings:
                words, completed = self._beginnings[event], number if event == "exists" else 0
                if what in self._tasks:
                    self._progress.update(self._tasks[what], words=words, completed=completed)
                else:
                    self._tasks[what] = self._progress.add_task(
                        digest.short(what), total=number, words=words, completed=completed
                    )
            elif what in self._tasks:
                self._move(self._tasks[what], event, number)

    def _move(self, task: TaskID, event: str, number: int) -> None:
        if event == "bytes":
            self._progress.advance(task, number)
        elif event == "unpacked":
            self._progress.update(task, words="Unpacked")
        elif event == "done":
            self._progress.update(task, words=self._done)
