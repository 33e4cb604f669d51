"""``--volumes-from``: the volumes and bind mounts of other containers.

It must not know containers: it is given their records. Source: moby volume/mounts/linux_parser.go ParseVolumesFrom,
daemon/volumes.go registerMountPoints.
"""

from __future__ import annotations

from pyrun.errors import InvalidInputError
from pyrun.volumes.spec import MountSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MODES = ("", "ro", "rw", "z", "Z", "ro,z", "ro,Z", "rw,z", "rw,Z", "z,ro", "Z,ro", "z,rw", "Z,rw")


def parse(text: str) -> tuple[str, str]:
    """Return (container, mode) of one ``CONTAINER[:ro|rw]``. Raises: InvalidInputError with docker's words."""
    name, _, mode = text.partition(":")
    if not name:
        raise InvalidInputError("volumes-from specification cannot be an empty string")
    if mode not in _MODES:
        raise InvalidInputError(f"invalid mode: {mode}")
    return name, mode


def inherited(texts: list[str], record_of: Callable[[str], dict[str, Any]]) -> list[MountSpec]:
    """Return the mounts that the options take over; a later container's win at the same place."""
    found: dict[str, MountSpec] = {}
    for text in texts:
        name, mode = parse(text)
        for mount in record_of(name)["mounts"]:
            if mount["type"] not in ("bind", "volume"):
                continue  # a tmpfs is its container's own
            source = mount["name"] if mount["type"] == "volume" else mount["source"]
            spec = MountSpec(mount["type"], source, mount["destination"])
            spec.readonly = not mount["rw"] or "ro" in mode.split(",")
            spec.mode = mode or mount["mode"]
            spec.propagation = mount.get("propagation", "")  # an older pyrun's record does not tell
            found[spec.target] = spec
    return list(found.values())
