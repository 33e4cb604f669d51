"""Which ids a container sees: ``--userns`` to a map of the container's ids to the engine namespace's.

It must not write maps (the monitor does). An extent may not span two of the parent's (user_namespaces(7)), and the
engine namespace has two: 0 is the user, 1 and up are his subordinate ids.
"""

from __future__ import annotations

from pyrun.errors import FeatureMissingError, InvalidInputError, UnsupportedFlagError

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

    Raises: InvalidInputError for a mode that does not exist; FeatureMissingError where it needs subordinate ids.
    """
    mode = userns or "host"
    if mode not in ("host", "keep-id", "nomap", "auto", "private"):
        raise InvalidInputError(f"invalid --userns: {mode}", hint="host, keep-id, nomap or auto")
    if engine.size == 0:
        if mode not in ("host", "private"):
            raise FeatureMissingError(f"--userns={mode}", "root runs containers without a user namespace")
        return IdMap([], [], engine.form)
    if engine.size == 1:
        return _single(mode, engine, uid, gid)
    if mode in ("host", "private"):
        return IdMap(_extents(engine.uid_map), _extents(engine.gid_map), engine.form)
    return _shifted(mode, engine)


def _extents(map_text: str) -> Extents:
    """The engine's own extents, mapped one to one."""
    sizes = [int(line.split()[2]) for line in map_text.split("\n")]
    extents, inside = [], 0
    for size in sizes:
        extents.append((inside, inside, size))
        inside += size
    return extents


def _single(mode: str, engine: EngineMap, uid: int, gid: int) -> IdMap:
    import os

    if mode in ("nomap", "auto"):
        raise UnsupportedFlagError(f"--userns={mode}")
    if mode == "keep-id":
        uid, gid = os.geteuid(), os.getegid()
    return IdMap([(uid, 0, 1)], [(gid, 0, 1)], engine.form)


def _shifted(mode: str, engine: EngineMap) -> IdMap:
    """A map under which layers unpacked one to one would have wrong owners: they need a form of their own."""
    import os

    if mode != "keep-id":
        raise UnsupportedFlagError(f"--userns={mode}")
    if len(engine.uid_map.split("\n")) > 2 or len(engine.gid_map.split("\n")) > 2:
        raise FeatureMissingError(
            "--userns=keep-id", "it needs all subordinate ids in one range", hint="edit /etc/subuid"
        )
    uid, gid, rest = os.geteuid(), os.getegid(), engine.size - 1
    return IdMap(_keep(uid, rest), _keep(gid, rest), f"keep-{uid}-{gid}")


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
