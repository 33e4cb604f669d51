"""HTTP requests over pooled connections, usable from several threads at once.

It must not know of registries' protocols: authorization, redirects and retries are made above it.
It stands on ``http.client``: with urllib3 the bytes cost the same CPU (10 ms for 63 MB), but the import 30 ms more.
"""

from __future__ import annotations

import http.client
import socket
import threading

from pyrun.errors import RegistryUnreachableError
from pyrun.registry import connections
from pyrun.registry.proxy import Proxy, proxy_for
from pyrun.registry.trust import Trust
from pyrun.registry.unreachable import READ_SECONDS, is_refused_by_tls, reason_of, unreachable
from pyrun.registry.url import Url, split_authority

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

_DRAIN_BYTES = 64 * 1024

Key = tuple[str, str, int]


class DroppedError(Exception):
    """The connection ended, or timed out, in the middle: worth another try."""


class Response:
    """An answer whose body is still to be read; give it back with ``close`` (or ``with``)."""

    __slots__ = ("_connection", "_raw", "_transport", "headers", "status", "url")

    def __init__(
        self, transport: Transport, connection: http.client.HTTPConnection, raw: http.client.HTTPResponse, url: Url
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._raw = raw
        self.url = url
        self.status = raw.status
        self.headers = raw.headers

    @property
    def content_length(self) -> int | None:
        """The length that the server promised, if it did."""
        return decimal(self.headers.get("Content-Length"))

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; less than its length only at the end of the body, or where the connection ended.

        Raises:
            DroppedError: the connection broke.
        """
        try:
            return self._raw.readinto(buffer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DroppedError(reason_of(error)) from error

    def read(self, limit: int) -> bytes:
        """Read a whole body of at most ``limit`` bytes; one byte more shows that it is longer.

        Raises:
            DroppedError: the connection broke, or ended before the promised length.
        """
        try:
            data = self._raw.read(limit + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DroppedError(reason_of(error)) from error
        promised = self.content_length
        if promised is not None and len(data) < min(promised, limit + 1):
            raise DroppedError(f"{len(data)} of {promised} bytes came")
        return data

    def drain(self) -> None:
        """Read a short body away, so that the connection can be used again."""
        try:
            self._raw.read(_DRAIN_BYTES)
        except (OSError, http.client.HTTPException, ValueError):
            return  # then the connection is closed instead

    def close(self) -> None:
        """Keep the connection for the next request if the body was read to its end, else close it."""
        reusable = self._raw.isclosed() and not self._raw.will_close
        self._raw.close()
        self._transport.give_back(self._connection, self.url, reusable=reusable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Transport:
    """Connections by origin; ``trust`` says whose certificates are not verified."""

    __slots__ = ("_busy", "_contexts", "_idle", "_is_aborted", "_lock", "_trust", "user_agent")

    def __init__(self, user_agent: str, trust: Trust) -> None:
        self.user_agent = user_agent
        self._trust = trust
        self._lock = threading.Lock()
        self._busy: dict[http.client.HTTPConnection, socket.socket | None] = {}
        self._is_aborted = False
        self._idle: dict[Key, list[http.client.HTTPConnection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}

    def request(
        self, method: str, url: Url, headers: dict[str, str], body: bytes | Iterable[bytes | memoryview] | None = None
    ) -> Response:
        """Send a request and read the head of its answer, which may come before the whole body was sent.

        ``body``: what is neither bytes nor None is read once; ``headers`` have its Content-Length.
        Raises:
            RegistryUnreachableError: no connection, or TLS failed.
            DroppedError: the connection was made, but no answer came.
        """
        # Identity: a digest is of the bytes as they are sent, and gzip of gzip costs time for nothing.
        headers = {"User-Agent": self.user_agent, "Accept-Encoding": "identity", **headers}
        proxy = proxy_for(url)
        target = url.target
        if proxy and url.scheme == "http":  # https goes through a tunnel instead (RFC 9110 section 9.3.6)
            target = str(url)
            if proxy.authorization:
                headers["Proxy-Authorization"] = proxy.authorization
        while True:
            connection, is_reused = self._take(url, proxy)
            try:
                self._begin(connection, url)
                early = _sent(connection, method, target, body, headers)
                answer = connection.getresponse()
                if early:
                    answer.will_close = True  # a part of the body is missing: nothing can follow on this connection
                return Response(self, connection, answer, url)
            except (OSError, http.client.HTTPException) as error:
                self._end(connection)
                if is_refused_by_tls(error):  # by TLS 1.3 our certificate is judged only after the handshake
                    raise unreachable(error, url, proxy) from error
                if is_reused and (body is None or isinstance(body, bytes)):
                    continue  # the server closed it while it was idle (RFC 9112 section 9.3.1); ours can be repeated
                raise DroppedError(reason_of(error)) from error
            except BaseException:
                self._end(connection)
                raise

    def abort(self) -> None:
        """End all requests, from another thread than theirs, and refuse new ones: nobody needs an answer any more."""
        with self._lock:
            self._is_aborted = True
            for sock in self._busy.values():
                try:
                    if sock is not None:
                        sock.shutdown(socket.SHUT_RDWR)  # wakes who waits in recv(2)
                except (OSError, AttributeError):
                    continue  # closed by its server, or TLS within TLS

    def _begin(self, connection: http.client.HTTPConnection, url: Url) -> None:
        with self._lock:
            self._refuse_aborted(url)
            self._busy[connection] = connection.sock

    def _refuse_aborted(self, url: Url) -> None:
        if self._is_aborted:
            raise RegistryUnreachableError(f"stopped: {url.authority}", registry=url.authority)

    def _end(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.pop(connection, None)
        connection.close()

    def give_back(self, connection: http.client.HTTPConnection, url: Url, *, reusable: bool) -> None:
        """Take a connection back from a response."""
        if not reusable:
            self._end(connection)
            return
        with self._lock:
            self._busy.pop(connection, None)
            self._idle.setdefault(url.origin, []).append(connection)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for unused in idle.values():
            for connection in unused:
                connection.close()

    def _take(self, url: Url, proxy: Proxy | None) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            self._refuse_aborted(url)
            idle = self._idle.get(url.origin)
            if idle:
                return idle.pop(), True
        connection = connections.unconnected(url, proxy, self._context)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise unreachable(error, url, proxy) from error
        if connection.sock is not None:
            connection.sock.settimeout(READ_SECONDS)
        return connection, False

    def _context(self, authority: str) -> ssl.SSLContext:
        with self._lock:
            context = self._contexts.get(authority)
            if context is None:
                from pyrun.registry import tls

                host, port = split_authority(authority)
                verify = not self._trust.is_insecure(Url("https", host, port or 443, "/"))
                context = self._contexts[authority] = tls.context(
                    authority, verify=verify, directory=self._trust.certificates
                )
            return context


def decimal(text: str | None) -> int | None:
    """Read a size out of a header; None for what is none: int() refuses numbers of thousands of digits."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _sent(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | Iterable[bytes | memoryview] | None,
    headers: dict[str, str],
) -> bool:
    """Send a request; True if the server hung up before its end: so it refuses a large body, and its answer tells."""
    try:
        connection.request(method, target, body, headers)
    except OSError as error:  # EPIPE, ECONNRESET, or TLS's word for them
        if body is None or isinstance(error, TimeoutError):
            raise
        return True
    return False
