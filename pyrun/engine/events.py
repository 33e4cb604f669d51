"""The record of events: written here and by the monitor (native/monitor/events.c), read by event_log.py.

It must not know who reads. HOT. A line is an event, appended by one write(2) to a file opened O_APPEND, so that lines
of several writers do not mix; two files of 1 MB bound it. What cannot be recorded never hurts the verb.
Line: ``{"Type", "ID", "Attributes", "Action", "timeNano", "crc32"}``, in an order that lets the monitor go on where
Python ends.
"""

from __future__ import annotations

import os
from time import time_ns

from pyrun.oci.json import dumps
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyrun.runtime.job import Job
    from pyrun.store.layout import Layout

MAX_BYTES = 1 << 20
# Labels may be of any size; with more than that an event does without them.
_MAX_ATTRIBUTES = 65536


def is_sound(line: bytes, *, sealed: bool = False) -> bool:
    """Say whether a line is as it was written; it may follow one that was cut (event_log.py)."""
    from pyrun.store import sealed_lines

    begin = max(line.rfind(b'{"Type":'), 0)
    # One that is whole before it was not cut: the newline between them has flipped.
    is_alone = not begin or not sealed_lines.is_sealed_object(line[: begin - 1])
    return is_alone and sealed_lines.is_sound_object(line[begin:], sealed=sealed)


def emit(layout: Layout, kind: str, action: str, identity: str, attributes: Mapping[str, str] | None = None) -> None:
    """Record an event of a ``kind`` (container, image, volume, network, daemon), with docker's words for the action."""
    from binascii import crc32  # most verbs that load this write no event

    body = f'{_prepared(kind, action, identity, attributes or {})},"timeNano":{time_ns()}'.encode("ascii")
    try:
        fd = _open(layout)
        try:
            os.write(fd, b'%b,"crc32":"%08x"}\n' % (body, crc32(body)))  # store/sealed_lines.py
            is_full = os.fstat(fd).st_size >= MAX_BYTES
        finally:
            os.close(fd)
        if is_full:
            _rotate(layout)
    except OSError:
        return  # a full disk: the event is lost, the verb goes on


def container(layout: Layout, action: str, record: Mapping[str, Any], **attributes: str) -> None:
    """Record an event of a container, whose labels, image and name docker adds to the attributes.

    One whose record cannot be read (``rm -f`` takes it) has nothing that could be told.
    """
    if "id" in record:
        emit(layout, "container", action, record["id"], _of_container(record, attributes))


def died(layout: Layout, record: Mapping[str, Any], exit_code: int, seconds: int) -> None:
    """Record what the monitor would have at a container's end (native/monitor/events.c `event_die`)."""
    container(layout, "die", record, execDuration=str(seconds), exitCode=str(exit_code))
    for mount in record["mounts"]:
        if mount["type"] == "volume":
            emit(layout, "volume", "unmount", mount["name"], {"container": record["id"], "driver": "local"})


class Exec:
    """Records what becomes of one ``exec``: called with each of its actions."""

    __slots__ = ("_command", "_id", "_layout", "_record")

    def __init__(self, layout: Layout, record: Mapping[str, Any], command: list[str]) -> None:
        self._layout = layout
        self._record = record
        self._command = " ".join(command)
        self._id = os.urandom(32).hex()

    def __call__(self, action: str, **attributes: str) -> None:
        words = f"{action}: {self._command}" if action in ("exec_create", "exec_start") else action
        container(self._layout, words, self._record, execID=self._id, **attributes)

    def prepared(self) -> str:
        """Return the line of its end as far as its attributes, for who waits for it (native/monitor/exec.c)."""
        return _body("container", self._record["id"], _of_container(self._record, {"execID": self._id}))


def image(layout: Layout, action: str, identity: str, name: str, labels: Mapping[str, str] | None = None) -> None:
    """Record an event of an image. As docker does, pull and push name it by reference, all else by id."""
    emit(layout, "image", action, identity, {**(labels or {}), "name": name})


def volume(layout: Layout, action: str, name: str) -> None:
    """Record that a volume was created or destroyed."""
    emit(layout, "volume", action, name, {"driver": "local"})


def prepare(layout: Layout, orders: Job, record: Mapping[str, Any]) -> None:
    """Give the monitor what it records without Python: start, die, the volumes' mounts, what a --rm takes along."""
    orders.events = layout.events
    orders.event = _body("container", record["id"], _of_container(record, {}))
    for mount in record["mounts"]:
        if mount["type"] != "volume":
            continue
        used = {"container": record["id"], "driver": "local"}
        mounted = {"destination": mount["destination"], "propagation": "", "read/write": str(mount["rw"]).lower()}
        orders.events_started.append(_prepared("volume", "mount", mount["name"], {**used, **mounted}))
        orders.events_ended.append(_prepared("volume", "unmount", mount["name"], used))
    if record["ephemeral"]:
        orders.events_removed = [
            orders.event + '},"Action":"destroy"',
            *(_prepared("volume", "destroy", name, {"driver": "local"}) for name in record["anonymous_volumes"]),
        ]


def _of_container(record: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, str]:
    return {**record["labels"], **more, "image": record["image"], "name": record["name"]}


def _prepared(kind: str, action: str, identity: str, attributes: Mapping[str, str]) -> str:
    """Return a line but for its time and end."""
    return _body(kind, identity, attributes) + f'}},"Action":{dumps(action)}'


def _body(kind: str, identity: str, attributes: Mapping[str, str]) -> str:
    """Return the line as far as its attributes, which may go on."""
    text = dumps(dict(attributes))
    if len(text) > _MAX_ATTRIBUTES:
        text = dumps({key: attributes[key] for key in ("image", "name") if key in attributes})
    return f'{{"Type":"{kind}","ID":{dumps(identity)},"Attributes":{text[:-1]}'


def _open(layout: Layout) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(layout.events, flags, 0o600)
    except FileNotFoundError:
        try:
            os.mkdir(layout.events_directory, 0o700)  # a store of an older pyrun has none
        except FileExistsError:
            pass  # another was first; its event and this one are both recorded
        return os.open(layout.events, flags, 0o600)


def _rotate(layout: Layout) -> None:
    """Move a full record away. Of several who find it full, the one that gets its lock does, once."""
    lock = fsio.try_lock(layout.events)
    if lock < 0:
        return
    try:
        full = os.fstat(lock)
        if full.st_size >= MAX_BYTES and full.st_ino == os.stat(layout.events).st_ino:
            os.rename(layout.events, layout.events_older)
    finally:
        os.close(lock)
