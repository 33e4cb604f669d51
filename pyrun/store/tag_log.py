"""refs.log: where tags pointed, a line for each move, appended under index.lock.

It must not know index.json. Line: ``TIME REFERENCE OLD NEW CHECKSUM``, where ``-`` stands for: none; what was written
without a checksum is taken as it is (store/sealed_lines.py). `tag` and its like only append.
"""

from __future__ import annotations

import os
import time
from binascii import crc32

from pyrun.errors import StorageFullError
from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout

MAX_BYTES = 1_000_000


def moves(layout: Layout) -> list[list[str]]:
    """Return what there is, the oldest first: TIME, REFERENCE, OLD, NEW. Damaged lines are left out."""
    try:
        lines = fsio.read_bytes(layout.refs_log).split(b"\n")
    except FileNotFoundError:
        return []
    return [move for move in map(_move, lines) if move]


def is_sound(line: bytes, *, sealed: bool = False) -> bool:
    """Say whether a line is as it was written; with ``sealed`` by its checksum only."""
    from pyrun.store import sealed_lines

    return sealed_lines.is_sound_words(line, _is_digest, sealed=sealed)


def append(layout: Layout, old: dict[str, str], new: dict[str, str]) -> None:
    """Note each tag that has moved; ``old`` and ``new``: where all tags lead."""
    moved = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if not moved:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lines = [f"{now} {name} {old.get(name, '-')} {new.get(name, '-')}".encode() for name in moved]
    try:
        fd = os.open(layout.refs_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fsio.write_all(fd, b"".join(b"%b %08x\n" % (line, crc32(line)) for line in lines))
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if size > MAX_BYTES:
            _shorten(layout, new)
    except (OSError, StorageFullError):
        return  # a full disk: the tags have moved, and who moved them must not hear that they have not


def _shorten(layout: Layout, tags: dict[str, str]) -> None:
    """Keep the newer half, and of the older one the last line of each tag that there is."""
    lines = fsio.read_bytes(layout.refs_log).splitlines(keepends=True)
    kept: list[bytes] = []
    said: set[str] = set()
    size = 0
    for line in reversed(lines):
        move = _move(line.rstrip(b"\n"))
        name = move[1] if move else ""
        size += len(line)
        if size <= MAX_BYTES // 2 or (name in tags and name not in said):
            kept.append(line)
        said.add(name)
    data = b"".join(reversed(kept))
    # Not synced: it is a log, and a rename over it must not make every tag slower.
    fsio.write_atomic(layout.refs_log, data, temporary=f"{layout.tmp}/{owner.token()}", sync=False)


def _is_digest(word: str) -> bool:
    from pyrun.oci import digest as digests

    return word == "-" or digests.is_well_formed(word)


def _move(line: bytes) -> list[str] | None:
    words = line.decode("utf-8", "replace").split(" ")
    return words[:4] if len(words) in (4, 5) and is_sound(line) else None
