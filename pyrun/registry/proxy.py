"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case.

It must not know how a request is made. ``urllib.request.getproxies`` knows the same, but its import costs 40 ms.
"""

from __future__ import annotations

import os
from binascii import b2a_base64
from urllib.parse import unquote, urlsplit

from pyrun.errors import RegistryError
from pyrun.registry.url import Url, is_loopback


class Proxy:
    """An HTTP proxy; ``authorization`` is a header's value, or empty."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, host: str, port: int, authorization: str) -> None:
        self.host = host
        self.port = port
        self.authorization = authorization


def proxy_for(url: Url) -> Proxy | None:
    """Find the proxy for a URL; this machine itself is never reached through one.

    Raises:
        RegistryError: the variable holds no URL of an HTTP proxy.
    """
    name = f"{url.scheme}_proxy"
    text = os.environ.get(name) or os.environ.get(name.upper()) or ""
    if not text or is_loopback(url.host) or _is_excepted(url):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme != "http":
        hint = f"set {name} to http://host:port"
        raise RegistryError(f"invalid proxy: {name}={text!r}: no http proxy", registry=url.authority, hint=hint)
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b2a_base64(secret.encode(), newline=False).decode("ascii")
    return Proxy(host, port, authorization)


def _is_excepted(url: Url) -> bool:
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for entry in excepted.replace(",", " ").split():
        host, _, port = entry.lower().partition(":") if entry.count(":") == 1 else (entry.lower(), "", "")
        if port and port != str(url.port):
            continue
        host = host.lstrip("*").lstrip(".")
        if entry == "*" or url.host == host or (host and url.host.endswith(f".{host}")):
            return True
    return False
