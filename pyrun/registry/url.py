"""URLs of registries, and where plain HTTP is allowed.

It must not know how a request is made. `urllib.parse` is loaded at first use: it costs 5 ms.
"""

from __future__ import annotations

import os

from pyrun.errors import RegistryError

DOCKER_HUB = "docker.io"
_DOCKER_HUB_HOST = "registry-1.docker.io"
INSECURE_VARIABLE = "PYRUN_INSECURE_REGISTRIES"


class Url:
    """An absolute http or https URL; ``target`` is path and query as they are sent."""

    __slots__ = ("host", "port", "scheme", "target")

    def __init__(self, scheme: str, host: str, port: int, target: str) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read an absolute URL.

        Raises:
            RegistryError: no http or https URL, or with characters that could split a request.
        """
        from urllib.parse import urlsplit

        # CR, LF and blanks would let a server write our next request's headers.
        if not text.isascii() or not text.isprintable() or " " in text:
            raise RegistryError(f"invalid URL: {text[:200]!r}: characters that no URL has", registry="")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise RegistryError(f"invalid URL: {text[:200]!r}: {error}", registry="") from None
        if parts.scheme not in ("http", "https"):
            raise RegistryError(f"invalid URL: {text[:200]!r}: neither http nor https", registry="")
        if not parts.hostname:
            raise RegistryError(f"invalid URL: {text[:200]!r}: it names no host", registry="")
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        return cls(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), target)

    def join(self, location: str) -> Url:
        """Resolve a Location header against this URL."""
        from urllib.parse import urljoin

        try:
            return Url.parse(urljoin(str(self), location))
        except ValueError as error:
            raise RegistryError(f"invalid URL: {location[:200]!r}: {error}", registry=self.authority) from None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who credentials are for."""
        return (self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """Host and port, as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def authority_of(domain: str) -> str:
    """Give the host (and port) that serves a reference's domain."""
    return _DOCKER_HUB_HOST if domain == DOCKER_HUB else domain


def split_authority(authority: str) -> tuple[str, int | None]:
    """Split ``host[:port]`` and ``[v6][:port]``."""
    from urllib.parse import urlsplit

    parts = urlsplit(f"//{authority}")
    return parts.hostname or "", parts.port


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine, by its text alone."""
    if host in ("localhost", "::1"):
        return True
    octets = host.split(".")
    return len(octets) == 4 and octets[0] == "127" and all(octet.isdecimal() for octet in octets)


def insecure_from_environment() -> frozenset[str]:
    """Read the hosts (``host`` or ``host:port``) that may be spoken to without TLS or with an unknown certificate."""
    return frozenset(os.environ.get(INSECURE_VARIABLE, "").replace(",", " ").split())
