"""One layer's blob in another compression: the same tar, other bytes around it.

It must not know the store. The bytes depend on nothing but the input, the format and its level.
"""

from __future__ import annotations

import hashlib
import os

from pyrun.errors import DigestMismatchError, InvalidInputError, StoreCorruptError
from pyrun.layers import compression
from pyrun.layers.pipeline import CHUNK, Taker, write_all
from pyrun.layers.write import Written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Compressor(Protocol):
        """What zlib's and zstandard's have in common."""

        def compress(self, data: bytes, /) -> bytes: ...
        def flush(self) -> bytes: ...


# format -> the levels that it has, and the usual one
LEVELS = {"gzip": (1, 9, 6), "zstd": (1, 22, 3)}
_GZIP_WINDOW = 31  # zlib.h deflateInit2: 15 bits, and 16 for a gzip header, whose time and name are left empty
_ZSTD_THREADS = 2  # from one on, how many there are changes nothing in the bytes (zstd.h, ZSTD_c_nbWorkers)


def check(kind: str, level: int | None) -> None:
    """Refuse a format or a level that there is not. Raises: InvalidInputError."""
    if kind not in LEVELS:
        raise InvalidInputError(f"invalid compression format: {kind!r}", hint=f"it is one of {', '.join(LEVELS)}")
    least, most, _ = LEVELS[kind]
    if level is not None and not least <= level <= most:
        raise InvalidInputError(f"invalid compression level: {level}", hint=f"{kind} has levels from {least} to {most}")


def recompress(
    path: str, blob_fd: int, kind: str, level: int | None, diff_id: str, go_on: Callable[[], None]
) -> Written:
    """Read a layer's blob, check its tar, and write it to ``blob_fd`` compressed; to sync or name it is the caller's.

    ``go_on`` is called between two pieces, and raises where that is not wanted any more.
    Raises: DigestMismatchError: the tar is not that of the diff_id; StoreCorruptError: the blob is no archive; OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.read(fd, CHUNK)
        stream = compression.reader(compression.detect(head), head, lambda: os.read(fd, CHUNK))
        compressor = _compressor(kind, level)
        tar, blob, sizes = hashlib.sha256(), hashlib.sha256(), [0, 0]

        def put(packed: bytes) -> None:
            blob.update(packed)
            sizes[1] += len(packed)
            write_all(blob_fd, packed)

        packing = Taker(lambda chunk: put(compressor.compress(chunk)), "pyrun-pack")
        try:
            buffer = bytearray(CHUNK)
            while count := stream.readinto(buffer):
                chunk = bytes(memoryview(buffer)[:count])
                tar.update(chunk)
                sizes[0] += count
                packing.put(chunk)
                go_on()
        except compression.errors() as error:
            packing.end()
            raise StoreCorruptError(f"cannot read layer: {path}: {error}", path=path) from error
        except BaseException:
            packing.end()
            raise
        packing.finish()
        put(compressor.flush())
    finally:
        os.close(fd)
    actual = f"sha256:{tar.hexdigest()}"
    if diff_id and actual != diff_id:
        raise DigestMismatchError(f"layer {path}", expected=diff_id, actual=actual)
    return Written(actual, f"sha256:{blob.hexdigest()}", tar_bytes=sizes[0], blob_bytes=sizes[1])


def _compressor(kind: str, level: int | None) -> Compressor:
    level = level or LEVELS[kind][2]
    if kind == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=level, threads=_ZSTD_THREADS, write_checksum=True).compressobj()
    import zlib

    return zlib.compressobj(level, wbits=_GZIP_WINDOW)
