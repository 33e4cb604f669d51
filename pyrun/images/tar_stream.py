"""A tar archive read forwards: its entries one after another, from a file that can be skipped in or from a pipe.

It must not know what the entries mean. Nothing is ever written by the name of an entry.
"""

from __future__ import annotations

import os

from pyrun.images import tar_header
from pyrun.images.tar_header import BLOCK, Header, invalid
from pyrun.layers import compression

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Protocol

    class Stream(Protocol):
        """Bytes read forwards; ``position`` counts them."""

        position: int

        def some(self, size: int) -> bytes:
            """Return that many bytes, or what is left of them."""

        def read(self, size: int) -> bytes:
            """Return that many bytes. Raises: InvalidInputError where the stream ends before."""

        def skip(self, size: int) -> None:
            """Go on that far. Raises: as `read`."""


CHUNK = 1 << 18
# Every image of a Docker archive of the old kind has three entries a layer; a hundred images of 127 layers are 40,000.
MAX_ENTRIES = 100_000
_MAX_NAME = 4096  # PATH_MAX; all names are held in memory, and an extension has room for 1 MiB


class FileStream:
    """A regular file, from its beginning; several may read it: the descriptor's own position is not used."""

    __slots__ = ("_fd", "_size", "position")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self.position = 0

    def some(self, size: int) -> bytes:
        data = _read(os.pread, self._fd, size, self.position)
        self.position += len(data)
        return data

    def read(self, size: int) -> bytes:
        return _whole(self.some(size), size)

    def skip(self, size: int) -> None:
        if self.position + size > self._size:
            raise _truncated()
        self.position += size


class PipeStream:
    """What comes out of a pipe or file, decompressed if it is compressed; ``head``: what was taken of it already."""

    __slots__ = ("_errors", "_reader", "position")

    def __init__(self, fd: int, head: bytes) -> None:
        self._reader = compression.reader(compression.detect(head), head, lambda: _read(os.read, fd, CHUNK))
        self._errors = compression.errors()
        self.position = 0

    def some(self, size: int) -> bytes:
        buffer = bytearray(size)
        view, found = memoryview(buffer), 0
        while found < size and (taken := self._taken(view[found:])):
            found += taken
        self.position += found
        return bytes(view[:found])

    def read(self, size: int) -> bytes:
        return _whole(self.some(size), size)

    def skip(self, size: int) -> None:
        while size:
            step = min(size, CHUNK)
            self.read(step)
            size -= step

    def drain(self) -> None:
        """Read what follows the archive: who writes it must not die of a closed pipe. Raises: as `read`."""
        buffer = bytearray(CHUNK)
        while self._taken(memoryview(buffer)):
            pass

    def _taken(self, view: memoryview) -> int:
        try:
            return self._reader.readinto(view) or 0
        except self._errors as error:
            raise invalid(f"it cannot be decompressed: {error}") from error


def read_head(fd: int) -> bytes:
    """Read enough of a stream to see what it is; less only at its end."""
    head = b""
    while len(head) < BLOCK and (chunk := _read(os.read, fd, BLOCK - len(head))):
        head += chunk
    return head


def entries(stream: Stream) -> Iterator[Header]:
    """Give each entry, its name made plain; its content may be read from the stream before the next is asked for.

    Raises: InvalidInputError: no tar, a cut one, one with more entries than an image has, a name that leads outside.
    """
    records: dict[str, str] = {}
    block = _first(stream)
    for _ in range(MAX_ENTRIES + 1):
        header = tar_header.decode(block)
        if header is None:
            return
        end = stream.position + header.size + tar_header.padding(header.size)
        if header.flag in tar_header.EXTENSIONS:
            records.update(_extension(stream, header))
        else:
            header = tar_header.extended(header, records)
            end = stream.position + header.size + tar_header.padding(header.size)
            records = {}
            header.name = plain(header.name)
            yield header
        stream.skip(end - stream.position)
        block = stream.read(BLOCK)
    raise invalid(f"it has more than {MAX_ENTRIES} entries")


def contents(stream: Stream, size: int) -> Generator[bytes, None, None]:
    """Give the content of the entry that `entries` has just given."""
    while size:
        chunk = stream.read(min(size, CHUNK))
        size -= len(chunk)
        yield chunk


def plain(name: str) -> str:
    """Return a name without ``./`` and doubled slashes.

    Raises: InvalidInputError: it leads out of the archive, or is longer than any file's.
    """
    if len(name) > _MAX_NAME:
        raise invalid(f"an entry's name has {len(name)} characters: {name[:200]!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise invalid(f"an entry's name leads out of it: {name[:200]!r}")
    return "/".join(parts)


def _first(stream: Stream) -> bytes:
    block = stream.some(BLOCK)
    if not block.strip(b"\0"):
        raise invalid("it is empty")
    if not tar_header.begins(block):
        raise invalid("it is no tar archive", hint="`pyrun load` reads what `pyrun save IMAGE` and other engines write")
    return block


def _extension(stream: Stream, header: Header) -> dict[str, str]:
    if header.size > tar_header.MAX_EXTENSION_BYTES:
        raise invalid(f"an extended header of {header.size} bytes")
    data = stream.read(header.size)
    if header.flag == tar_header.PAX:
        return tar_header.decode_pax(data)
    if header.flag == tar_header.PAX_GLOBAL:
        return {}
    text = data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return {"path" if header.flag == tar_header.LONG_NAME else "linkpath": text}


def _read(call: Callable[..., bytes], *arguments: int) -> bytes:
    try:
        return call(*arguments)
    except OSError as error:
        raise invalid(f"it cannot be read: {(error.strerror or '').lower()}") from error


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise _truncated()
    return data


def _truncated() -> Exception:
    return invalid("it ends in the middle", hint="it was cut short on its way: copy it, or save the image, again")
