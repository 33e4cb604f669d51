"""The threads of one streamed layer: a reader that hashes the compressed bytes, and a hasher of the tar.

hashlib, os.write and the decompressors release the GIL, so these run beside each other and beside the helper process.
It must not know what a layer is.
"""

from __future__ import annotations

import hashlib
import os
import queue
from collections.abc import Callable, Iterator

from pyrun.layers.thread import WaitedThread

Source = Callable[[int], bytes] | Iterator[bytes]

CHUNK = 256 << 10
_DEPTH = 8


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything; `os.write` may take less."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _chunks(source: Source) -> Iterator[bytes]:
    if callable(source):
        return iter(lambda: source(CHUNK), b"")
    return (piece for piece in source if piece)


class BlobReader:
    """Takes compressed bytes from their source on a thread of its own: hashes them, hands them on.

    Never takes more than ``limit`` bytes and one chunk: what is longer than promised needs no reading to its end.
    """

    def __init__(self, source: Source, *, algorithm: str, limit: int, progress: Callable[[int], None] | None) -> None:
        self.size = 0
        self.hash = hashlib.new(algorithm)
        self.error: BaseException | None = None
        self._limit = limit
        self._progress = progress
        self._chunks = _chunks(source)
        self._queue: queue.Queue[bytes] = queue.Queue(_DEPTH)
        self._ended = False
        self._stop = False
        self._thread = WaitedThread(self._run, "pyrun-blob")
        self._thread.start()

    def _run(self) -> None:
        try:
            for chunk in self._chunks:
                self.size += len(chunk)
                if self._stop or self.size > self._limit:
                    break
                self._queue.put(chunk)
                self.hash.update(chunk)
                if self._progress is not None:
                    self._progress(self.size)
        except BaseException as error:
            # Raised again where the caller asks: a thread has nobody to tell.
            self.error = error
        finally:
            self._queue.put(b"")

    def next(self) -> bytes:
        """Return the next chunk, b"" at the end or after an error."""
        if self._ended:
            return b""
        chunk = self._queue.get()
        self._ended = not chunk
        return chunk

    def finish(self) -> None:
        """Read what is left, so that size and digest are those of the whole blob; raise what the source raised."""
        while self.next():
            pass
        self._thread.join()
        if self.error is not None:
            raise self.error

    def abandon(self) -> None:
        """Stop reading as soon as the source returns."""
        self._stop = True
        while self.next():
            pass
        self._thread.join()


class Hasher:
    """sha256 of buffers on a thread of its own. ``buffer()`` lends one, ``update`` gives it back when it is hashed."""

    def __init__(self, algorithm: str, *, buffers: int, size: int) -> None:
        self.size = 0
        self.hash = hashlib.new(algorithm)
        self._free: queue.Queue[bytearray] = queue.Queue()
        for _ in range(buffers):
            self._free.put(bytearray(size))
        self._work: queue.Queue[tuple[bytearray, int] | None] = queue.Queue()
        self._thread = WaitedThread(self._run, "pyrun-tar-hash")
        self._thread.start()

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            data, size = item
            self.hash.update(memoryview(data)[:size])
            self._free.put(data)

    def buffer(self) -> bytearray:
        """Return a free buffer, waiting for one: this bounds how far the hash may fall behind."""
        return self._free.get()

    def update(self, data: bytearray, size: int) -> None:
        """Hash the first ``size`` bytes. The caller must not write to the buffer again."""
        self.size += size
        self._work.put((data, size))

    def finish(self) -> None:
        """Wait until all is hashed."""
        self._work.put(None)
        self._thread.join()


class Taker:
    """Gives chunks to a function, in order, on a thread of its own. `finish` raises what the function has raised."""

    def __init__(self, take: Callable[[bytes], object], name: str) -> None:
        self._take = take
        self._error: BaseException | None = None
        self._queue: queue.Queue[bytes] = queue.Queue(_DEPTH)
        self._thread = WaitedThread(self._run, name)
        self._thread.start()

    def _run(self) -> None:
        while chunk := self._queue.get():
            if self._error is None:  # else only emptied, so that nobody waits for room
                try:
                    self._take(chunk)
                except BaseException as error:
                    self._error = error

    def put(self, chunk: bytes) -> None:
        """Hand on a chunk, waiting while the function is too far behind."""
        self._queue.put(chunk)

    def end(self) -> None:
        """Wait until all is taken."""
        self._queue.put(b"")
        self._thread.join()

    def finish(self) -> None:
        """Wait until all is taken; raise what went wrong."""
        self.end()
        if self._error is not None:
            raise self._error
