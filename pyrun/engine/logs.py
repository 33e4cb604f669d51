"""What a container wrote: the monitor's json-file lines, oldest first, across rotated files; followed if asked.

It must not know how lines are shown. HOT. Files: `<container>/logs/json.log`, then `.1` and `.2`, newest first.
Following waits on inotify and on the monitor's pidfd: no sleeping, no polling.
"""

from __future__ import annotations

import os

from pyrun.engine.instant import parse_rfc3339
from pyrun.oci.json import loads
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pyrun.store.layout import Layout

_NAMES = ("json.log", "json.log.1", "json.log.2")
_BLOCK = 65536


class Record:
    """One line, or a part of a long one (then without line feed). `stream`: stdout or stderr."""

    __slots__ = ("stream", "text", "time")

    def __init__(self, stream: str, text: str, time: str) -> None:
        self.stream = stream
        self.text = text
        self.time = time


def read(
    layout: Layout, name: str, *, tail: int = -1, since: int | None = None, until: int | None = None,
    follow: bool = False,
) -> Iterator[Record | None]:  # fmt: skip
    """Yield a container's records; None, when following, each time there is nothing more for now.

    `tail`: how many of the last lines, -1 for all; `since` and `until` in nanoseconds since 1970, both included.
    Raises: ContainerNotFoundError.
    """
    _, directory = containers.resolve(layout, name)
    lines = _follow(directory, tail) if follow else _lines(f"{directory}/logs", tail)
    return _select(lines, since, until)


def _select(lines: Iterator[bytes | None], since: int | None, until: int | None) -> Iterator[Record | None]:
    for line in lines:
        if line is None:
            yield None
            continue
        try:
            fields = loads(line)
            record = Record(fields["stream"], fields["log"], fields["time"])
            moment = parse_rfc3339(record.time) if since is not None or until is not None else 0
        except (ValueError, KeyError, TypeError):
            continue  # a line cut by a crash of the machine: docker skips it too
        if since is not None and moment < since:
            continue
        if until is not None and moment > until:
            return
        yield record


def _lines(directory: str, tail: int) -> Iterator[bytes]:
    """Yield the lines of a log that is not followed."""
    files = _open_all(directory)
    try:
        yield from _from_tail(files, tail)
    finally:
        for fd in files:
            os.close(fd)


def _open_all(directory: str) -> list[int]:
    """Open the log's files, oldest first. A rotation in between must not show a file twice."""
    files: list[int] = []
    seen: set[int] = set()
    for name in _NAMES:
        try:
            fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        inode = os.fstat(fd).st_ino
        if inode in seen:
            os.close(fd)
            continue
        seen.add(inode)
        files.insert(0, fd)
    return files


def _from_tail(files: list[int], tail: int) -> Iterator[bytes]:
    """Yield the last `tail` lines of the files (oldest first), or all of them."""
    first, offset = 0, 0
    if tail >= 0:
        first, offset = _tail_start(files, tail)
    for index in range(first, len(files)):
        yield from _Reader(files[index], offset if index == first else 0).drain()


def _tail_start(files: list[int], tail: int) -> tuple[int, int]:
    """Find where the last `tail` lines begin: (index of the file, offset), reading backwards."""
    if tail == 0 or not files:
        return max(len(files) - 1, 0), os.fstat(files[-1]).st_size if files else 0
    left = tail + 1  # the line feed before the first wanted line
    for index in range(len(files) - 1, -1, -1):
        end = os.fstat(files[index]).st_size
        while end > 0:
            start = max(0, end - _BLOCK)
            block = os.pread(files[index], end - start, start)
            position = len(block)
            while (position := block.rfind(b"\n", 0, position)) >= 0:
                left -= 1
                if left == 0:
                    return index, start + position + 1
            end = start
    return 0, 0


class _Reader:
    """Reads whole lines of one file; what is not yet ended by a line feed is kept for the next time."""

    __slots__ = ("_offset", "_rest", "fd")

    def __init__(self, fd: int, offset: int = 0) -> None:
        self.fd = fd
        self._offset = offset
        self._rest = b""

    def drain(self) -> Iterator[bytes]:
        while block := os.pread(self.fd, _BLOCK, self._offset):
            self._offset += len(block)
            *lines, self._rest = (self._rest + block).split(b"\n")
            yield from lines


def _follow(directory: str, tail: int) -> Iterator[bytes | None]:
    """Yield what is there, then what comes, until the container has ended.

    The end is looked at before the files are drained: whatever was written before it is then read for certain.
    """
    from pyrun.engine.log_watch import Watch

    logs = f"{directory}/logs"
    watch = Watch(directory)
    files: list[int] = []
    try:
        ended = watch.has_ended()
        files = _open_all(logs)
        if files:
            current = yield from _first_pass(files, tail)
        else:
            current = None
        while not ended:
            yield None
            ended = watch.wait()
            if current is None:
                files = _open_all(logs)
                current = _Reader(files[-1]) if files else None
            if current is not None:
                yield from current.drain()
                while (newer := _newer(logs, current.fd)) >= 0:
                    yield from current.drain()
                    files.append(newer)
                    current = _Reader(newer)
                    yield from current.drain()
    finally:
        for fd in files:
            os.close(fd)
        watch.close()


def _first_pass(files: list[int], tail: int) -> Generator[bytes, None, _Reader]:
    """Yield the lines of the files that are there; return the reader of the newest, to go on with."""
    first, offset = _tail_start(files, tail) if tail >= 0 else (0, 0)
    reader = _Reader(files[first], offset)
    yield from reader.drain()
    for fd in files[first + 1 :]:
        reader = _Reader(fd)
        yield from reader.drain()
    return reader


def _newer(directory: str, fd: int) -> int:
    """Open the file that follows `fd` after a rotation; -1 while `fd` is the newest."""
    inode = os.fstat(fd).st_ino
    while True:
        inodes = [_inode(f"{directory}/{name}") for name in _NAMES]
        index = inodes.index(inode) if inode in inodes else len(_NAMES)
        if index == 0 or not any(inodes[:index]):
            return -1
        candidates = [position for position in range(index - 1, -1, -1) if inodes[position]]
        try:
            newer = os.open(f"{directory}/{_NAMES[candidates[0]]}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if os.fstat(newer).st_ino == inodes[candidates[0]]:
            return newer
        os.close(newer)  # rotated once more between stat and open: look again


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
