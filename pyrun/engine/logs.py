"""What a container wrote, from its log: oldest first, across rotated files; followed if asked.

It must not know how it is shown. HOT. Blocks of records become text in C (native/module/logs.c): a million lines are
0.2 s of work. Following waits on inotify and on the monitor's pidfd: no sleeping, no polling.
"""

from __future__ import annotations

import os

from pyrun._native import ffi, lib
from pyrun.engine import log_files
from pyrun.engine.log_files import DRIVERS, LogFiles, Lost, settings
from pyrun.errors import StoreCorruptError
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrun.store.layout import Layout

    Run = tuple[int, bytes]

NOTICE = 0  # instead of a stream: what the reader should know of the log itself
_BLOCK = 262144
_RUNS = 4096
_EVER = (1 << 63) - 1
_GAP = "lines are missing here: the log was rotated away before it could be read"


class LogOptions:
    """``logs``. `tail`: how many of the last lines, -1 for all; `since`, `until`: nanoseconds since 1970, included."""

    __slots__ = ("details", "follow", "since", "tail", "timestamps", "until")

    def __init__(
        self, *, tail: int = -1, since: int | None = None, until: int | None = None, follow: bool = False,
        timestamps: bool = False, details: bool = False,
    ) -> None:  # fmt: skip
        self.tail = tail
        self.since = since
        self.until = until
        self.follow = follow
        self.timestamps = timestamps
        self.details = details


def read(layout: Layout, name: str, options: LogOptions) -> Iterator[Run | None]:
    """Yield (1, text of stdout), (2, text of stderr) in the order of writing, and (NOTICE, a sentence).

    When following: None each time there is nothing more for now. Raises: ContainerNotFoundError; InvalidInputError
    where the log driver keeps no log.
    """
    _, directory = containers.resolve(layout, name)
    record = _record(directory)
    files = LogFiles(record, directory)
    show = _Show(
        DRIVERS[settings(record)["driver"]][0], options, _details(record, directory) if options.details else b""
    )
    lost = Lost(directory, follow=options.follow)
    return _read(files, show, lost, directory, record, options)


def _read(
    files: LogFiles, show: _Show, lost: Lost, directory: str, record: dict[str, Any], options: LogOptions
) -> Iterator[Run | None]:
    try:
        if options.follow:
            yield from _follow(files, show, lost, directory, record, options)
            return
        files.extend()
        show.skip_to_tail(files, options.tail)
        while files.fds:
            yield from show.all_of(files.fds[0])
            files.drop_oldest()
            show.offset = 0
        yield from _notices(lost)
    finally:
        files.close()
        lost.close()


def _record(directory: str) -> dict[str, Any]:
    """One that cannot be read hides no log: without a word of its own a container has the default driver."""
    try:
        return containers.load(directory)
    except StoreCorruptError:
        return {}


def _details(record: dict[str, Any], directory: str) -> bytes:
    """What each line begins with: docker's list of --log-opt labels, env and tag, then a space."""
    if not settings(record)["options"]:
        return b" "
    from pyrun.engine import log_options

    environment = containers.load_file(directory, "config.json")["process"]["env"]
    return log_options.details(log_options.attributes(record, environment)).encode() + b" "


def _notices(lost: Lost) -> Iterator[Run]:
    for notice in lost.notices():
        yield NOTICE, notice.encode()


def _within(moment: int | None, default: int) -> int:
    """Records end in 2262, where 64 bits do; the years that a user may write go on to 9999."""
    return default if moment is None else max(-_EVER, min(moment, _EVER))


class _Show:
    """Turns blocks of a file into text; `offset`: where the next one begins, always at a record."""

    __slots__ = ("_alive", "_block", "_driver", "_text", "_view", "offset")

    def __init__(self, driver: int, options: LogOptions, details: bytes) -> None:
        self.offset = 0
        self._driver = driver
        self._block = bytearray(_BLOCK)
        size = _BLOCK + len(details) + 256
        self._alive = ffi.new("char[]", details), ffi.new("char[]", size), ffi.new("struct pyrun_log_run[]", _RUNS)
        self._view = ffi.new("struct pyrun_log_view *", {
            "driver": driver, "timestamps": options.timestamps, "details": self._alive[0],
            "details_size": len(details), "has_range": options.since is not None or options.until is not None,
            "since": _within(options.since, 0), "until": _within(options.until, _EVER),
        })  # fmt: skip
        self._text = ffi.new("struct pyrun_log_text *", {
            "bytes": self._alive[1], "size": size, "runs": self._alive[2], "run_size": _RUNS,
        })  # fmt: skip

    def next_of(self, fd: int) -> list[Run] | None:
        """Return the text of the next block; None where there is no whole record more."""
        size = os.preadv(fd, [self._block], self.offset)
        taken = int(lib.pyrun_log_show(self._view, ffi.from_buffer(self._block), size, self._text))
        if taken == 0 and size < _BLOCK:
            return None
        self.offset += taken or _BLOCK  # no record is so long: what a crash has left, and it is passed over
        text, runs, at = ffi.buffer(self._text.bytes, self._text.used), [], 0
        for index in range(self._text.run_count):
            run = self._text.runs[index]
            runs.append((run.stream, text[at : at + run.length]))
            at += run.length
        return runs

    def all_of(self, fd: int) -> Iterator[Run]:
        """Yield the text of all whole records."""
        while (runs := self.next_of(fd)) is not None:
            yield from runs

    def skip_to_tail(self, files: LogFiles, tail: int) -> None:
        """Drop the files, and set the offset, before the last `tail` lines; not if it is negative."""
        if tail < 0 or not files.fds:
            return
        index, self.offset = self._find_tail(files.fds, tail)
        for _ in range(index):
            files.drop_oldest()

    def _find_tail(self, fds: list[int], tail: int) -> tuple[int, int]:
        """Read backwards to the end of the line before the wanted ones: (index of the file, offset)."""
        left, is_last = ffi.new("size_t *", tail + 1), True
        for index in range(len(fds) - 1, -1, -1):
            end = os.fstat(fds[index]).st_size
            while end > 0:
                start = max(0, end - _BLOCK)
                block = os.pread(fds[index], end - start, start)
                size = block.rfind(b"\n") + 1
                found = int(lib.pyrun_log_tail(self._driver, block, size, start == 0, is_last, left)) if size else 0
                if left[0] == 0:
                    return index, start + found
                is_last = is_last and not size
                end = start + found if 0 < found < size else start
        return 0, 0


def _follow(
    files: LogFiles, show: _Show, lost: Lost, directory: str, record: dict[str, Any], options: LogOptions
) -> Iterator[Run | None]:
    """Yield what is there, then what comes, until the container has ended or `until` is past.

    The end is looked at before the files are drained: whatever was written before it is then read for certain.
    """
    from pyrun.engine.log_watch import Watch

    log_directory = os.path.dirname(log_files.path(record, directory))
    watch = Watch(directory, log_directory, is_ephemeral=record.get("ephemeral", False), until=options.until)
    try:
        ended = watch.has_ended()
        files.extend()
        show.skip_to_tail(files, options.tail)
        while True:
            yield from _drain(files, show)
            yield from _notices(lost)
            if ended:
                return
            yield None
            ended = watch.wait()
    finally:
        watch.close()


def _drain(files: LogFiles, show: _Show) -> Iterator[Run]:
    """Yield all that there is now; the newest file stays open."""
    files.extend()
    while files.fds:
        while (runs := show.next_of(files.fds[0])) is not None:
            yield from runs
            files.extend()
        if len(files.fds) == 1:
            return
        # There was a newer one before this one was found to be at its end: it will not grow.
        files.drop_oldest()
        show.offset = 0
        if files.fds[0] == files.gap_before:
            files.gap_before = -1
            yield NOTICE, _GAP.encode()
