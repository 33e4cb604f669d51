"""Subordinate ids of the user: which host ids his namespaces may hold besides his own.

It must not know what they are used for. Source: subuid(5), newuidmap(1).
"""

from __future__ import annotations

import os


class IdRange:
    """Host ids ``start`` to ``start + count - 1``."""

    __slots__ = ("count", "start")

    def __init__(self, start: int, count: int) -> None:
        self.start = start
        self.count = count


def ranges(path: str, uid: int, name: str) -> list[IdRange]:
    """Return the ranges that ``path`` (/etc/subuid, /etc/subgid) gives a user, by name or by number."""
    found: list[IdRange] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError:
        return found
    for line in lines:
        fields = line.split(":")
        if len(fields) == 3 and fields[0] in (name, str(uid)) and fields[1].isdigit() and fields[2].isdigit():
            found.append(IdRange(int(fields[1]), int(fields[2])))
    return found


def user_name(uid: int) -> str:
    """Return the login name of a uid, or its number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def map_text(own: int, ranges: list[IdRange]) -> str:
    """Return a uid_map in which 0 is the user's own id and 1, 2, … are the subordinate ones, in order."""
    words = [f"0 {own} 1"]
    inside = 1
    for item in ranges:
        words.append(f"{inside} {item.start} {item.count}")
        inside += item.count
    return "\n".join(words)


def mapper(name: str) -> str | None:
    """Return the path of newuidmap or newgidmap, or None."""
    for directory in (*os.environ.get("PATH", "").split(":"), "/usr/bin", "/usr/local/bin", "/bin"):
        path = f"{directory}/{name}"
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    return None
