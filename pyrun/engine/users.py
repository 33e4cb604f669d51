"""USER of an image or ``-u``: looked up in the image's own passwd and group files, never in the host's.

It must not know where the files come from: ``View`` reads them. Source: moby daemon/oci_linux.go
getUser; passwd(5), group(5).
"""

from __future__ import annotations

import os

from pyrun.errors import FeatureMissingError, InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import RunOptions
    from pyrun.layers.view import View

_FILE_LIMIT = 4 << 20
_MAX_ID = (1 << 31) - 1


class User:
    """Who the process is: numbers inside the container, and the home directory for HOME."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def _rows(view: View, path: str, fields: int) -> list[list[str]]:
    text = (view.read(path, _FILE_LIMIT) or b"").decode("utf-8", "replace")
    rows = [line.split(":") for line in text.split("\n") if line and not line.startswith("#")]
    return [row for row in rows if len(row) >= fields]


def _number(text: str) -> int | None:
    # int() refuses, with ValueError, the thousands of digits that an image may hold.
    is_number = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if is_number and int(text) <= _MAX_ID else None


def wanted(options: RunOptions, image: dict[str, Any]) -> str:
    """Return what `look_up` is to find: ``-u``, or the image's USER, or in ``--userns=keep-id`` oneself."""
    if options.user is not None:
        return options.user
    from pyrun.engine import idmap  # exec needs it not

    if idmap.mode_of(options.userns) == "keep-id" and os.geteuid() != 0:
        # As podman: the point of the mode is to be oneself inside.
        return "{}:{}".format(*idmap.kept_ids(options.userns))
    return str(image["user"])


def look_up(view: View, text: str) -> User:
    """Return the user that ``user[:group]`` names; "" is root.

    A name must exist; a number need not. Without a group: the user's own and those that list him.

    Raises: InvalidInputError with docker's words.
    """
    name, separator, group = text.partition(":")
    passwd = _rows(view, "/etc/passwd", 6)
    number = _number(name) if name else 0
    # A number is an id, whoever has it for a name in the image's file (CVE-2016-3697).
    key, value = (0, name) if number is None else (2, str(number))
    row = next((row for row in passwd if row[key] == value), None)
    if row is None and number is None:
        raise InvalidInputError(
            f"unable to find user {name}: no matching entries in passwd file",
            hint="the name is looked up in the image's /etc/passwd; a number needs no entry",
        )
    if row is None:
        uid, gid, home, login = number or 0, 0, "/", ""
    else:
        uid, gid = _id(row, 2, name), _id(row, 3, name)
        home, login = row[5] or "/", row[0]
    groups: list[int] = []
    if separator and group:
        gid = _group(view, group)
    elif login:
        groups = _supplementary(view, login, gid)
    return User(uid, gid, groups, home)


def added_groups(view: View, texts: list[str], groups: list[int] | None) -> list[int] | None:
    """Return the supplementary groups with those of ``--group-add``; None: the caller's own (keep-groups).

    ``groups``: those that the user has; None where there can be none but the caller's (a single-id map).
    Raises: InvalidInputError; FeatureMissingError.
    """
    if "keep-groups" in texts:
        if len(texts) > 1:
            raise InvalidInputError(
                "the '--group-add keep-groups' option is not allowed with any other --group-add options"
            )
        return None
    if groups is None:
        raise FeatureMissingError(
            "--group-add", "a user without subordinate ids cannot change groups", hint="--group-add keep-groups works"
        )
    return [*groups, *(gid for gid in dict.fromkeys(_group(view, text) for text in texts) if gid not in groups)]


def _id(row: list[str], column: int, name: str) -> int:
    number = _number(row[column])
    if number is None:  # 0 instead, as moby has it, would be root
        raise InvalidInputError(
            f"unable to find user {name}: passwd file has no id that can be used: {row[column][:20]!r}"
        )
    return number


def _group(view: View, group: str) -> int:
    number = _number(group)
    if number is None:
        row = next((row for row in _rows(view, "/etc/group", 3) if row[0] == group), None)
        number = None if row is None else _number(row[2])
    if number is None:
        raise InvalidInputError(
            f"unable to find group {group}: no matching entries in group file",
            hint="the name is looked up in the image's /etc/group; a number needs no entry",
        )
    return number


def _supplementary(view: View, login: str, gid: int) -> list[int]:
    groups: list[int] = []
    for row in _rows(view, "/etc/group", 4):
        number = _number(row[2])
        if number is not None and number != gid and login in row[3].split(",") and number not in groups:
            groups.append(number)
    return groups
