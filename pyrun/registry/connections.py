"""Connections to a host: straight, or through a proxy, to which TLS may be spoken as well.

It must not know what is sent on them.
"""

from __future__ import annotations

import http.client
import io
import socket

from pyrun.registry.steady import Steady
from pyrun.registry.unreachable import CONNECT_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any

    from pyrun.registry.proxy import Proxy
    from pyrun.registry.url import Url


def unconnected(
    url: Url, proxy: Proxy | None, context_of: Callable[[str], ssl.SSLContext]
) -> http.client.HTTPConnection:
    """Make a connection that is still to be connected; ``context_of`` gives the TLS settings for a host and port."""
    connection = _unconnected(url, proxy, context_of)
    connection.response_class = _ProxiedResponse if proxy and url.scheme == "https" else _SteadyResponse
    return connection


def _unconnected(
    url: Url, proxy: Proxy | None, context_of: Callable[[str], ssl.SSLContext]
) -> http.client.HTTPConnection:
    host, port = (proxy.host, proxy.port) if proxy else (url.host, url.port)
    if url.scheme == "http":
        if proxy and proxy.is_secure:
            outer = context_of(proxy.authority)
            return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=outer)
        return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    context = context_of(url.authority)
    secure: http.client.HTTPSConnection
    if proxy and proxy.is_secure:
        secure = _ThroughTls(host, port, context, context_of(proxy.authority))
    else:
        secure = http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)
    if proxy:
        authorization = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        secure.set_tunnel(url.host, url.port, authorization)
    return secure


class _ThroughTls(http.client.HTTPSConnection):
    """A tunnel through a proxy that is spoken to by TLS: TLS within TLS, which http.client cannot."""

    def __init__(self, host: str, port: int, inner: ssl.SSLContext, outer: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS, context=inner)
        self._inner = inner
        self._outer = outer

    def connect(self) -> None:
        """Connect to the proxy, ask it for the tunnel, and speak TLS through it."""
        from pyrun.registry.inner_tls import InnerTls

        plain = socket.create_connection((self.host, self.port), CONNECT_SECONDS)
        try:
            self.sock = self._outer.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        self._tunnel()  # type: ignore[attr-defined]  # http.client's own, what set_tunnel prepares
        self.sock = InnerTls(self.sock, self._inner, self._tunnel_host)  # type: ignore[attr-defined]


_MAX_INTERIM = 8
_MAX_TRAILERS = 100  # as http.client's limit for headers
_MAX_LINE_BYTES = 1 << 16


class _SteadyResponse(http.client.HTTPResponse):
    """Ends where its bytes come too slowly, of its head as of its body, and where they never come to a point."""

    _interim = 0

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(Steady(self.fp.detach()), 1 << 16)

    def _read_status(self) -> tuple[str, int, str]:
        """Pass over interim answers (RFC 9110 section 15.2), not for ever: http.client knows 100 alone, and no end."""
        version, status, reason = super()._read_status()  # type: ignore[misc]
        if 100 <= status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise http.client.HTTPException(f"got more than {_MAX_INTERIM} interim answers")
            status = http.client.CONTINUE
        return version, status, reason

    def _read_and_discard_trailer(self) -> None:
        """Read what may follow a chunked body, which http.client does without a limit."""
        for _ in range(_MAX_TRAILERS):
            line = self.fp.readline(_MAX_LINE_BYTES + 1)
            if len(line) > _MAX_LINE_BYTES:
                raise http.client.LineTooLong("trailer line")
            if line in (b"\r\n", b"\n", b""):
                return
        raise http.client.HTTPException(f"got more than {_MAX_TRAILERS} trailers")


class _ProxiedResponse(_SteadyResponse):
    """Closes itself where a proxy refuses the tunnel: before 3.12, http.client leaves it and its socket open."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()
        if self._method is None and status != 200:  # type: ignore[attr-defined]  # no request yet: it is CONNECT's
            self.close()
        return version, status, reason
