"""TLS within a TLS connection: what http.client needs of a socket, no more.

It must not know of proxies. The ssl module can wrap a descriptor only, so the inner records go through memory.
"""

from __future__ import annotations

import io
import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from _typeshed import WriteableBuffer

    Done = TypeVar("Done")

_RECORDS_BYTES = 64 * 1024


class InnerTls:
    """A connection whose bytes travel inside ``outer``, which it owns. Raises: as an SSLSocket."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, host: str) -> None:
        self._outer = outer
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self._readers = 0
        self._is_closed = False
        try:
            self._pump(self._inner.do_handshake)
        except BaseException:
            outer.close()
            raise

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all of the bytes."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self._pump(lambda view=view: self._inner.write(view)) :]  # type: ignore[misc]

    def receive_into(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer; 0 at the end."""
        view = memoryview(buffer)
        try:
            return int(self._pump(lambda: self._inner.read(len(view), view)))  # with a buffer, read gives a count
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return 0  # closed, politely or not: the length of a body says whether it was whole

    def makefile(self, mode: str) -> io.BufferedReader:
        """Give a reader, for which the connection stays open until it is closed as well."""
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def settimeout(self, seconds: float | None) -> None:
        """Set how long the peer may be silent."""
        self._outer.settimeout(seconds)

    def close(self) -> None:
        """Close it, once the last reader is closed. Idempotent."""
        self._is_closed = True
        self._close_unless_read()

    def reader_closed(self) -> None:
        """Note that a reader needs it no more."""
        self._readers -= 1
        self._close_unless_read()

    def _close_unless_read(self) -> None:
        if self._is_closed and self._readers == 0:
            self._outer.close()

    def _pump(self, step: Callable[[], Done]) -> Done:
        """Do a step of the inner protocol, carrying its records until it is done."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                if not (records := self._outer.recv(_RECORDS_BYTES)):
                    self._received.write_eof()
                else:
                    self._received.write(records)
                continue
            except ssl.SSLError:
                self._flush()  # the alert that says why
                raise
            self._flush()
            return done

    def _flush(self) -> None:
        if records := self._to_send.read():
            self._outer.sendall(records)


class _Reader(io.RawIOBase):
    """What a BufferedReader reads from."""

    def __init__(self, connection: InnerTls) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._connection.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._connection.reader_closed()
