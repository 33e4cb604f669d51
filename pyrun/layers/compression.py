"""Decompression of layer blobs: the form is found by its first bytes, a media type may lie.

It must not know digests, files or helpers. Sources: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from _typeshed import WriteableBuffer

    class Reader(Protocol):
        """Where decompressed bytes come from."""

        def readinto(self, buffer: WriteableBuffer, /) -> int | None:
            """Fill the buffer as far as one step allows; 0 at the end."""


MAGIC_SIZE = 6
# Bytes that a frame may ask to be kept: as zstd(1) without --long or --memory, whose levels all do with that. 22 KB
# with a window of 2 GiB would fill as much memory, and four layers come at once.
_ZSTD_WINDOW = 1 << 27


def detect(head: bytes) -> str:
    """Return ``gzip zstd xz bzip2 none`` for the first bytes of a blob."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    # A zstd stream may begin with a skippable frame, as zstd:chunked's does.
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    return "bzip2" if head[:3] == b"BZh" else "none"


class BrokenError(Exception):
    """The bytes are not what their beginning says."""


class _Bzip2:
    """The module bz2's reader. Of bad bytes it says OSError, which would be taken for the file's own."""

    def __init__(self, raw: Any) -> None:
        import bz2

        self._stream = bz2.BZ2File(raw)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return self._stream.readinto(buffer)
        except OSError as error:
            if error.errno is not None:
                raise
            raise BrokenError(str(error)) from error


class _Raw(io.RawIOBase):
    """A file object over a function that returns the next chunk, b"" at the end."""

    def __init__(self, head: bytes, next_chunk: Callable[[], bytes]) -> None:
        super().__init__()
        self._chunk = memoryview(head)
        self._next = next_chunk

    def readable(self) -> bool:
        return True

    def _fill(self) -> None:
        if not self._chunk:
            self._chunk = memoryview(self._next())

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        self._fill()
        piece = bytes(self._chunk[:size])
        self._chunk = self._chunk[size:]
        return piece

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._fill()
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._chunk))
        target[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size


def reader(kind: str, head: bytes, next_chunk: Callable[[], bytes]) -> Reader:
    """Return a reader of the decompressed bytes; several gzip members or zstd frames read as one.

    ``head`` is what was already taken of the stream, ``next_chunk`` returns more, b"" at its end.
    """
    raw: Any = _Raw(head, next_chunk)
    stream: Reader = raw
    if kind == "gzip":
        from isal import igzip

        stream = igzip.IGzipFile(fileobj=raw, mode="rb")  # type: ignore[no-untyped-call]
    elif kind == "zstd":
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        # A frame cut short reads as its end here: the tar's own end and the diff_id tell.
        stream = decompressor.stream_reader(raw, read_size=1 << 18, read_across_frames=True)
    elif kind == "xz":
        import lzma

        stream = lzma.LZMAFile(raw)
    elif kind == "bzip2":
        stream = _Bzip2(raw)
    return stream


def errors() -> tuple[type[Exception], ...]:
    """Return what the readers raise for a broken stream."""
    import gzip
    import lzma
    import zlib

    import zstandard
    from isal import isal_zlib

    broken: type[Exception] = isal_zlib.error  # type: ignore[assignment]
    return (zstandard.ZstdError, broken, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, BrokenError)
