"""HTTP requests over pooled connections, usable from several threads at once.

It must not know of registries' protocols: authorization, redirects and retries are made above it.
It stands on ``http.client``: with urllib3 the bytes cost the same CPU (10 ms for 63 MB), but the import 30 ms more.
"""

from __future__ import annotations

import http.client
import socket
import threading

from pyrun.errors import RegistryUnreachableError
from pyrun.registry.proxy import Proxy, proxy_for
from pyrun.registry.trust import Trust
from pyrun.registry.url import INSECURE_VARIABLE, Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
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
        text = (self.headers.get("Content-Length") or "").strip()
        return int(text) if text.isascii() and text.isdecimal() else None

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; less than its length only at the end of the body, or where the connection ended.

        Raises:
            DroppedError: the connection broke.
        """
        try:
            return self._raw.readinto(buffer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DroppedError(_reason(error)) from error

    def read(self, limit: int) -> bytes:
        """Read a whole body of at most ``limit`` bytes; one byte more shows that it is longer.

        Raises:
            DroppedError: the connection broke, or ended before the promised length.
        """
        try:
            data = self._raw.read(limit + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DroppedError(_reason(error)) from error
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

    __slots__ = ("_contexts", "_idle", "_lock", "_trust", "user_agent")

    def __init__(self, user_agent: str, trust: Trust) -> None:
        self.user_agent = user_agent
        self._trust = trust
        self._lock = threading.Lock()
        self._idle: dict[Key, list[http.client.HTTPConnection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}

    def request(self, method: str, url: Url, headers: dict[str, str], body: bytes | None = None) -> Response:
        """Send a request and read the head of its answer.

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
                connection.request(method, target, body, headers)
                return Response(self, connection, connection.getresponse(), url)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if is_reused:
                    continue  # the server closed it while it was idle (RFC 9112 section 9.3.1): safe for GET and HEAD
                raise DroppedError(_reason(error)) from error
            except BaseException:
                connection.close()
                raise

    def give_back(self, connection: http.client.HTTPConnection, url: Url, *, reusable: bool) -> None:
        """Take a connection back from a response."""
        if not reusable:
            connection.close()
            return
        with self._lock:
            self._idle.setdefault(url.origin, []).append(connection)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _take(self, url: Url, proxy: Proxy | None) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            idle = self._idle.get(url.origin)
            if idle:
                return idle.pop(), True
        connection = self._new(url, proxy)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unreachable(error, url) from error
        if connection.sock is not None:
            connection.sock.settimeout(READ_SECONDS)
        return connection, False

    def _new(self, url: Url, proxy: Proxy | None) -> http.client.HTTPConnection:
        host, port = (proxy.host, proxy.port) if proxy else (url.host, url.port)
        if url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        secure = http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._context(url))
        if proxy:
            authorization = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            secure.set_tunnel(url.host, url.port, authorization)
            secure.response_class = _ProxiedResponse
        return secure

    def _context(self, url: Url) -> ssl.SSLContext:
        with self._lock:
            context = self._contexts.get(url.authority)
            if context is None:
                from pyrun.registry import tls

                verify = not self._trust.is_insecure(url)
                context = self._contexts[url.authority] = tls.context(url.authority, verify=verify)
            return context


class _ProxiedResponse(http.client.HTTPResponse):
    """Closes itself where a proxy refuses the tunnel: before 3.12, http.client leaves it and its socket open."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        if self._method is None and status != 200:  # type: ignore[attr-defined]  # no request yet: it is CONNECT's
            self.close()
        return version, status, reason


def is_untrusted(error: Exception) -> bool:
    """Say whether TLS was spoken, and only the certificate was refused."""
    import ssl

    return isinstance(error.__cause__, ssl.SSLCertVerificationError)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {READ_SECONDS:.0f} seconds"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()


def _unreachable(error: Exception, url: Url) -> RegistryUnreachableError:
    import ssl  # http.client has it already; where Python was built without, there is no TLS to fail

    reason, hint = _reason(error), ""
    if isinstance(error, socket.gaierror):
        reason, hint = "host name not known", "check the spelling of the registry and the machine's DNS"
    elif isinstance(error, ConnectionRefusedError):
        reason, hint = "connection refused", "is the registry running, and is the port right?"
    elif isinstance(error, TimeoutError):
        reason, hint = f"no connection within {CONNECT_SECONDS:.0f} seconds", "check the network, and HTTPS_PROXY"
    elif isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted: {error.verify_message}"
        hint = f"put the CA's certificate into /etc/docker/certs.d/{url.authority}/ca.crt"
    elif isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        reason, hint = "it does not speak TLS", f"set {INSECURE_VARIABLE}={url.authority} to allow plain HTTP"
    return RegistryUnreachableError(
        f"cannot reach registry: {url.authority}: {reason}", registry=url.authority, hint=hint
    )
