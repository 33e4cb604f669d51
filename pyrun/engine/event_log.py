"""What has happened, and what happens: the record of events (engine/events.py), read and followed.

It must not know how events are shown. Cold. Following waits on inotify(7): no sleeping, no polling.
"""

from __future__ import annotations

import collections
import os
import select
import time
from typing import TYPE_CHECKING

from pyrun.engine.event_filters import EventFilters
from pyrun.errors import InvalidInputError
from pyrun.linux.inotify import CREATE, MODIFY, MOVED_TO, Inotify
from pyrun.oci.json import loads
from pyrun.store import fsio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pyrun.store.layout import Layout

_BLOCK = 65536
_LONGEST_WAIT = 86400  # seconds
_LINE_START = b'{"Type":'


class Event:
    """One event. `type`: container, image, volume, …; `attributes`: labels, image, name and the action's own."""

    __slots__ = ("action", "attributes", "id", "time_nano", "type")

    scope = "local"

    def __init__(self, fields: dict[str, Any]) -> None:
        self.type: str = fields["Type"]
        self.action: str = fields["Action"]
        self.id: str = fields["ID"]
        self.attributes: dict[str, str] = fields["Attributes"]
        self.time_nano: int = fields["timeNano"]


def read(
    layout: Layout, *, since: int | None = None, until: int | None = None, filters: Sequence[str] = ()
) -> Iterator[Event | None]:
    """Yield events, those that are recorded and then those that come; None each time there is nothing more for now.

    `since` and `until` in nanoseconds since 1970. With neither, only what comes; with an `until` that has passed, only
    what is recorded; with one that has not, until then. Raises: InvalidInputError.
    """
    accept = EventFilters(filters).accept
    if since is not None and until is not None and until < since:
        raise InvalidInputError("`since` time cannot be after `until` time", hint="exchange them")
    left = None if until is None else (until - time.time_ns()) / 1e9
    # By a clock that does not jump.
    deadline = None if left is None else time.monotonic() + left
    for event in _events(layout, deadline, wants_past=since is not None or until is not None):
        if event is None:
            yield None
        elif accept(event) and not _is_outside(event, since, until):
            yield event


def _is_outside(event: Event, since: int | None, until: int | None) -> bool:
    return (since is not None and event.time_nano < since) or (until is not None and event.time_nano > until)


def _events(layout: Layout, deadline: float | None, *, wants_past: bool) -> Iterator[Event | None]:
    if deadline is not None and deadline <= time.monotonic():
        segments = _Segments(layout)
        try:
            yield from segments.drain()
        finally:
            segments.close()
        return
    fsio.make_directory(layout.events_directory)
    watch = Inotify()
    try:
        # Before the first look: what happens after it wakes us.
        watch.watch(layout.events_directory, MODIFY | CREATE | MOVED_TO)
        segments = _Segments(layout)
        try:
            if not wants_past:
                segments.skip()
            yield from _follow(segments, watch, deadline)
        finally:
            segments.close()
    finally:
        watch.close()


def _follow(segments: _Segments, watch: Inotify, deadline: float | None) -> Iterator[Event | None]:
    poll = select.poll()
    poll.register(watch.fd, select.POLLIN)
    while True:
        yield from segments.drain()
        yield None
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        # poll(2) takes an int of milliseconds, 24 days: of a later deadline a part at a time.
        if not poll.poll(None if left is None else min(left, _LONGEST_WAIT) * 1000):
            if left is not None and left > _LONGEST_WAIT:
                continue
            yield from segments.drain()
            return
        watch.drain()
        segments.open_new()


class _Segments:
    """The files of the record, oldest first. One that was moved away is kept open: its last lines may be late."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: list[_Segment] = []
        self._names: dict[str, str] = {}  # of containers that were renamed
        self.open_new()

    def open_new(self) -> None:
        found: list[_Segment] = []
        # The newest first: what is moved away in between is then seen twice, not missed.
        for path in (self._layout.events, self._layout.events_older):
            try:
                segment = _Segment(path)
            except FileNotFoundError:
                continue
            if any(segment.inode == other.inode for other in (*found, *self._open)):
                segment.close()
            else:
                found.insert(0, segment)
        self._open += found
        for segment in self._open[:-3]:
            segment.close()
        self._open = self._open[-3:]

    def skip(self) -> None:
        """Pass over what is there, but for the names."""
        collections.deque(self.drain(), maxlen=0)

    def drain(self) -> Iterator[Event]:
        """Yield what has not been read yet."""
        for segment in self._open:
            for event in segment.drain():
                self._set_name(event)
                yield event

    def _set_name(self, event: Event) -> None:
        """A monitor goes on with the name that the container had when it was started."""
        if event.type != "container":
            return
        if event.action == "rename":
            self._names[event.id] = event.attributes["name"]
        elif event.id in self._names:
            event.attributes["name"] = self._names[event.id]

    def close(self) -> None:
        for segment in self._open:
            segment.close()


class _Segment:
    __slots__ = ("_fd", "_offset", "_rest", "inode")

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0
        self._rest = b""
        self.inode = os.fstat(self._fd).st_ino

    def drain(self) -> Iterator[Event]:
        while block := os.pread(self._fd, _BLOCK, self._offset):
            self._offset += len(block)
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                event = _decode(line)
                if event is not None:
                    yield event

    def close(self) -> None:
        os.close(self._fd)


def _decode(line: bytes) -> Event | None:
    """Read a line; None for one that was cut by a crash of the machine or a full disk.

    A line that follows such a rest is whole: unescaped quotes cannot be inside one.
    """
    try:
        return Event(loads(line[max(line.rfind(_LINE_START), 0) :]))
    except (ValueError, KeyError, TypeError):
        return None
