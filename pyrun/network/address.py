"""IP addresses as text: which family, loopback or not.

It must not know what an address is for. Hot: the C half of `socket` only (0.3 ms; `ipaddress` and `socket` pay 10).
"""

from __future__ import annotations

import _socket


def family(text: str) -> int:
    """Return 4 or 6, or 0 where ``text`` is no IP address. A zone (``fe80::1%eth0``) is none either."""
    for number, kind in ((4, _socket.AF_INET), (6, _socket.AF_INET6)):
        try:
            _socket.inet_pton(kind, text)
        except (OSError, ValueError):  # ValueError: a NUL inside
            continue
        return number
    return 0


def is_loopback(text: str) -> bool:
    """Whether a valid address is one that never leaves the machine (127.0.0.0/8, ::1, ::ffff:127.0.0.0/104)."""
    if family(text) == 4:
        return text.startswith("127.")
    packed = _socket.inet_pton(_socket.AF_INET6, text)
    return packed == b"\0" * 15 + b"\1" or packed[:13] == b"\0" * 10 + b"\xff\xff\x7f"


def is_unspecified(text: str) -> bool:
    """Whether a valid address means every address (0.0.0.0, ::)."""
    kind = _socket.AF_INET if family(text) == 4 else _socket.AF_INET6
    return not any(_socket.inet_pton(kind, text))


def of_this_host() -> str:
    """Return the IPv4 address by which this machine talks to others, or "" where it has none.

    Nothing is sent: connect(2) of a datagram socket only asks the routing table.
    """
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(("203.0.113.1", 9))  # RFC 5737 TEST-NET-3: any address that is not local
        return str(sock.getsockname()[0])
    except OSError:
        return ""
    finally:
        sock.close()
