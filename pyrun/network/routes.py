"""What the host's routing tables say, as far as an uplink must know it: by which interface the default route leaves.

It must not know the programs. Hot: two small files of /proc instead of netlink. Source: net/ipv4/fib_trie.c
fib_route_seq_show, net/ipv6/route.c rt6_info_route, include/uapi/linux/route.h RTF_*.
"""

from __future__ import annotations

_RTF_UP = 0x1
_RTF_REJECT = 0x200


def default_interface4(table: str = "/proc/net/route") -> str:
    """Return the interface of the IPv4 default route with the lowest metric, or ""."""
    best, best_metric = "", -1
    for line in _lines(table)[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":
            continue
        flags, metric = int(fields[3], 16), int(fields[6])
        if flags & _RTF_UP and not flags & _RTF_REJECT and (not best or metric < best_metric):
            best, best_metric = fields[0], metric
    return best


def default_interface6(table: str = "/proc/net/ipv6_route") -> str:
    """Return the interface of the IPv6 default route with the lowest metric, or "" (also without IPv6)."""
    best, best_metric = "", -1
    for line in _lines(table):
        fields = line.split()
        if len(fields) < 10 or fields[0] != "0" * 32 or fields[1] != "00":
            continue
        metric, flags = int(fields[5], 16), int(fields[8], 16)
        # Without a default route the kernel shows an unreachable one on lo: RTF_REJECT.
        if flags & _RTF_UP and not flags & _RTF_REJECT and (not best or metric < best_metric):
            best, best_metric = fields[9], metric
    return best


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []
