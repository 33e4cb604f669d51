"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case, as docker reads them.

It must not know how a request is made. Source: golang.org/x/net/http/httpproxy, whose rules theirs are.
"""

from __future__ import annotations

import os
from binascii import b2a_base64
from urllib.parse import unquote, urlsplit

from pyrun.errors import RegistryError
from pyrun.registry.url import Url, is_loopback


class Proxy:
    """An HTTP proxy; ``authorization`` is a header's value, or empty; ``is_secure``: TLS is spoken to it.

    ``variable``: where its user has named it.
    """

    __slots__ = ("authorization", "host", "is_secure", "port", "variable")

    def __init__(self, host: str, port: int, authorization: str, variable: str, *, is_secure: bool = False) -> None:
        self.host = host
        self.port = port
        self.authorization = authorization
        self.variable = variable
        self.is_secure = is_secure

    @property
    def authority(self) -> str:
        """Host and port, for people; never the password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def proxy_for(url: Url) -> Proxy | None:
    """Find the proxy for a URL; this machine itself is never reached through one.

    Raises:
        RegistryError: the variable holds no URL of an HTTP proxy.
    """
    name, text = _setting(f"{url.scheme}_proxy")
    if not text or is_loopback(url.host) or _is_excepted(url):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host = parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme not in ("http", "https"):
        hint = f"set {name} to http://[USER:PASSWORD@]HOST:PORT"
        raise RegistryError(f"invalid proxy: {name}={_shown(text)!r}: no http proxy", registry=url.authority, hint=hint)
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b2a_base64(secret.encode(), newline=False).decode("ascii")
    return Proxy(host, port, authorization, name, is_secure=parts.scheme == "https")


def _shown(text: str) -> str:
    """Leave the user and password out."""
    scheme, separator, rest = text.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _setting(name: str) -> tuple[str, str]:
    """Return a variable's name and value, capitals first."""
    return next(((key, text) for key in (name.upper(), name) if (text := os.environ.get(key))), (name, ""))


def _is_excepted(url: Url) -> bool:
    excepted = _setting("no_proxy")[1]
    return any(_covers(entry, url) for entry in excepted.lower().replace(",", " ").split())


def _covers(entry: str, url: Url) -> bool:
    """Say whether an entry of NO_PROXY means a host: ``*``, a host and those below it, a network; perhaps a port.

    With a dot before it (or ``*.``) only those below it are meant.
    """
    if entry == "*":
        return True
    if "/" in entry:
        return _is_in_network(url.host, entry)
    # [v6]:port, host:port; a bare IPv6 address has colons of its own
    host, _, port = entry.rpartition(":") if entry.count(":") == 1 or "]:" in entry else (entry, "", "")
    if port and port != str(url.port):
        return False
    host = host.strip("[]").removeprefix("*")
    below = host if host.startswith(".") else f".{host}"
    return len(below) > 1 and (url.host == host or url.host.endswith(below))


def _is_in_network(host: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False  # a name: it is the proxy that looks it up
