"""Which ids a container sees: ``--userns`` to a map of the container's ids to the engine namespace's.

It must not write maps (the monitor does). An extent may not span two of the parent's (user_namespaces(7)), and the
engine namespace has two: 0 is the user, 1 and up are his subordinate ids.
"""

from __future__ import annotations

import os

from pyrun.errors import FeatureMissingError, InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.engine_ns import EngineMap

Extents = list[tuple[int, int, int]]


class IdMap:
    """Extents (inside, engine id, size) for users and groups; none at all for root without a user namespace.

    ``form``: the form of layers whose owners are right under this map (store/layout.py).
    """

    __slots__ = ("form", "gids", "uids")

    def __init__(self, uids: Extents, gids: Extents, form: str) -> None:
        self.uids = uids
        self.gids = gids
        self.form = form


def decide(userns: str | None, engine: EngineMap, uid: int, gid: int) -> IdMap:
    """Return the map for ``--userns``; ``uid``, ``gid``: who the process will be, the one id of a single-id map.

    Not for ``auto``, whose range depends on other containers: engine/auto_map.py.
    Raises: InvalidInputError for a mode that does not exist; FeatureMissingError where it needs subordinate ids.
    """
    mode = mode_of(userns)
    if engine.size == 0:
        if mode not in ("host", "private"):
            raise FeatureMissingError(f"--userns={mode}", "root runs containers without a user namespace")
        return IdMap([], [], engine.form)
    if mode == "nomap":
        return shifted(1, subordinate_ids(mode, engine))
    if engine.size == 1:
        if mode == "keep-id":
            uid, gid = kept_ids(userns)
        return IdMap([(uid, 0, 1)], [(gid, 0, 1)], engine.form)
    if mode in ("host", "private"):
        return IdMap(_extents(engine.uid_map), _extents(engine.gid_map), engine.form)
    rest = subordinate_ids(mode, engine)
    uid, gid = kept_ids(userns)
    return IdMap(_keep(uid, rest), _keep(gid, rest), f"keep-{uid}-{gid}")


def mode_of(userns: str | None) -> str:
    """Return the mode of a ``--userns``, without its options. Raises: InvalidInputError."""
    mode, separator, _ = (userns or "host").partition(":")
    if mode == "container" and separator:  # that has none (root's): else engine/sharing.py takes its map
        return "host"
    if mode not in ("host", "keep-id", "nomap", "auto", "private") or (separator and mode not in ("keep-id", "auto")):
        raise InvalidInputError(f"invalid --userns: {userns}", hint="host, keep-id, nomap or auto")
    return mode


def kept_ids(userns: str | None) -> tuple[int, int]:
    """Return who the user is inside under ``keep-id`` or ``keep-id:uid=N,gid=N``. Raises: InvalidInputError."""
    ids = {"uid": os.geteuid(), "gid": os.getegid()}
    for option in filter(None, (userns or "").partition(":")[2].split(",")):
        key, _, value = option.partition("=")
        if key not in ids or not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise InvalidInputError(f"invalid --userns: {userns}", hint="keep-id or keep-id:uid=N,gid=N")
        ids[key] = int(value)
    return ids["uid"], ids["gid"]


def _extents(map_text: str) -> Extents:
    """The engine's own extents, mapped one to one."""
    sizes = [int(line.split()[2]) for line in map_text.split("\n")]
    extents, inside = [], 0
    for size in sizes:
        extents.append((inside, inside, size))
        inside += size
    return extents


def subordinate_ids(mode: str, engine: EngineMap) -> int:
    """Return how many subordinate ids there are, all in one range. Raises: FeatureMissingError."""
    if engine.size <= 1:
        raise FeatureMissingError(
            f"--userns={mode}",
            "it needs subordinate ids" if engine.size else "root runs containers without a user namespace",
            hint="`pyrun info` says why there are none, and the command that gives some",
        )
    if len(engine.uid_map.split("\n")) > 2 or len(engine.gid_map.split("\n")) > 2:
        raise FeatureMissingError(
            f"--userns={mode}", "it needs all subordinate ids in one range", hint="edit /etc/subuid and /etc/subgid"
        )
    return engine.size - 1


def shifted(start: int, size: int) -> IdMap:
    """Return the map of a container that has ``size`` subordinate ids from ``start`` on; the user has none inside."""
    return IdMap([(0, start, size)], [(0, start, size)], f"shift-{start}-{size}")


def of_form(form: str, engine: EngineMap) -> IdMap | None:
    """Return the map that a derived form of layers was made for; None for ``full``, ``flat`` and what is no form."""
    kind, _, numbers = form.partition("-")
    first, _, second = numbers.partition("-")
    if kind not in ("keep", "shift") or not (first.isdecimal() and second.isdecimal()) or engine.size <= 1:
        return None
    if kind == "shift":
        return shifted(int(first), int(second))
    rest = engine.size - 1
    return IdMap(_keep(int(first), rest), _keep(int(second), rest), form)


def _keep(own: int, rest: int) -> Extents:
    """``own`` inside is the user; the ids around it are his subordinate ones, in order."""
    extents = [(0, 1, min(own, rest))] if own else []
    extents.append((own, 0, 1))
    if rest > own:
        extents.append((own + 1, own + 1, rest - own))
    return extents


def map_text(extents: Extents) -> str | None:
    """Return what is written to uid_map; None: no user namespace."""
    return "\n".join(f"{inside} {outside} {size}" for inside, outside, size in extents) or None
