"""One HEAD over plain HTTP: has a tag of a registry on this machine moved?

It must not know what is done about it, and judges nothing: whatever is not plainly an answer with a digest is left to
`client.py`, which asks again and says what is wrong. HOT: for that one request http.client, ssl and their like would
be two thirds of a pull that finds nothing new.
"""

from __future__ import annotations

import _socket
from time import monotonic

from pyrun.oci import digest as digests
from pyrun.oci.media_types import ACCEPT
from pyrun.registry.agent import user_agent
from pyrun.registry.url import is_loopback

_SECONDS = 5.0  # for all of it
_MAX_HEAD_BYTES = 1 << 16
_END = b"\r\n\r\n"


def digest_of(domain: str, repository: str, wanted: str) -> str:
    """Return the digest of a manifest (``wanted``: its tag or digest), or "": ask in full.

    Only this machine is asked: nobody is between it and itself, and it is never reached through a proxy.
    """
    host, port = _split(domain)
    if not is_loopback(host) or not port.isdecimal() or len(port) > 5:
        return ""
    request = (
        f"HEAD /v2/{repository}/manifests/{wanted} HTTP/1.1\r\nHost: {domain}\r\nUser-Agent: {user_agent()}\r\n"
        f"Accept: {ACCEPT}\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    try:
        return _digest_in(_exchange(host, int(port), request.encode("ascii")))
    except (OSError, ValueError, OverflowError):
        return ""


def _split(domain: str) -> tuple[str, str]:
    host, colon, port = domain.rpartition(":")
    if not colon or domain.endswith("]"):
        host, port = domain, "80"
    return host.removeprefix("[").removesuffix("]"), port


def _exchange(host: str, port: int, request: bytes) -> bytes:
    """Send a request; return the head of the answer. Raises: OSError where none came in time."""
    end = monotonic() + _SECONDS
    sock = _connected(host, port)
    try:
        sock.sendall(request)
        answer = b""
        while _END not in answer:
            left = end - monotonic()
            if left <= 0 or len(answer) > _MAX_HEAD_BYTES:
                raise TimeoutError
            sock.settimeout(left)
            data = sock.recv(_MAX_HEAD_BYTES)
            if not data:
                raise ConnectionResetError
            answer += data
        return answer.partition(_END)[0]
    finally:
        sock.close()


def _connected(host: str, port: int) -> _socket.socket:
    """Connect to the first address that answers: localhost may have two. Raises: OSError."""
    failure = OSError()
    # As bytes: for text the codec idna would be loaded, 2 ms.
    for family, kind, protocol, _, address in _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM):
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_SECONDS)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _digest_in(head: bytes) -> str:
    """Return the digest that an answer's head gives, once; "" for any other answer. Raises: ValueError."""
    status, *lines = head.decode("ascii").split("\r\n")
    if status.split(" ")[:2] not in (["HTTP/1.1", "200"], ["HTTP/1.0", "200"]):
        return ""
    found = [
        value.strip()
        for name, _, value in (line.partition(":") for line in lines)
        if name.lower() == "docker-content-digest"
    ]
    return found[0] if len(found) == 1 and digests.is_well_formed(found[0]) else ""
