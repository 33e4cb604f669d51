"""``--userns=auto``: a map on subordinate ids that no other container made with it has.

It must not know how layers get owners of this map (engine/forms.py). Containers that see all ids (the default, keep-id,
nomap) have these too; ranges are taken from above, where such containers seldom have users. Source: podman-run(1).
"""

from __future__ import annotations

from pyrun.engine.idmap import IdMap, shifted, subordinate_ids
from pyrun.errors import ConflictError, InvalidInputError, UnsupportedFlagError
from pyrun.store import id_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pyrun.engine.users import User
    from pyrun.layers.view import View
    from pyrun.runtime.engine_ns import EngineMap
    from pyrun.store.layout import Layout

# containers-storage: AutoUserNsMinSize.
_MINIMUM = 1024
_NOBODY = 65534


class Range:
    """The range of the container at ``directory``, for a ``with`` block in which that is made; kept if it was."""

    __slots__ = ("_directory", "_layout", "_name")

    def __init__(self, layout: Layout, directory: str) -> None:
        self._layout = layout
        self._directory = directory
        self._name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._name:
            end = id_ranges.settle if error is None else id_ranges.release
            end(self._layout, self._name, self._directory)

    def map(self, userns: str, engine: EngineMap, view: View, user: User) -> IdMap:
        """Take a range and return the map on it.

        Raises: InvalidInputError; UnsupportedFlagError; ConflictError if no range is free; FeatureMissingError.
        """
        ids = subordinate_ids("auto", engine)
        size = _size(userns) or _needed(view, user)
        if max(user.uid, user.gid) >= size:
            raise InvalidInputError(f"invalid --userns: {userns}: user {user.uid}:{user.gid} is not in a map of {size}")
        self._name = id_ranges.take(self._layout, self._directory, size, ids + 1)
        if not self._name:
            raise ConflictError(
                f"cannot map ids: --userns={userns}: no {size} of the {ids} subordinate ids in a row are free",
                hint="`pyrun ps -a` shows which containers may have them; auto:size=N takes fewer",
            )
        return shifted(int(self._name.partition("-")[0]), size)


def _size(userns: str) -> int:
    """Return the size that the option names, or 0."""
    size = 0
    for option in filter(None, userns.partition(":")[2].split(",")):
        key, _, value = option.partition("=")
        if key in ("uidmapping", "gidmapping"):
            raise UnsupportedFlagError(f"--userns=auto:{key}")
        if key != "size" or not (value.isascii() and value.isdigit() and 0 < int(value[:10]) < 1 << 31):
            raise InvalidInputError(f"invalid --userns: {userns}", hint="auto or auto:size=N")
        size = int(value[:10])
    return size


def _needed(view: View, user: User) -> int:
    """One more than the highest id that the image names, `nobody` apart."""
    found = {user.uid, user.gid, *user.groups}
    for path, columns in (("/etc/passwd", (2, 3)), ("/etc/group", (2,))):
        for line in (view.read(path, 4 << 20) or b"").split(b"\n"):
            row = line.split(b":")
            found |= {int(row[i]) for i in columns if i < len(row) and row[i].isdigit() and len(row[i]) <= 9}
    return max(_MINIMUM, max(found - {_NOBODY}) + 1)
