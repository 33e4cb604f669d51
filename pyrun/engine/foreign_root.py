"""A container whose map has not the user's own id (--userns nomap, auto): what is on disk for it is given to its root.

It must not know how the map came about. Its root may not even search the user's directories: what the plan names of the
host is opened before (native/plan/host_paths.c); only where it mounts must it be let through.
"""

from __future__ import annotations

import os

from pyrun.engine import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.spec import Mounts
    from pyrun.store.layout import Layout


def prepare(layout: Layout, directory: str, config: dict[str, Any], rootfs: dict[str, Any]) -> None:
    """Give a container's own files to its root, those that are not yet. Raises: SyscallError."""
    uid, gid = (config["linux"][key][0]["hostID"] for key in ("uidMappings", "gidMappings"))
    files = [f"{directory}/{name}" for name in ("hosts", "hostname", "resolv.conf")]
    for path in files:
        if _is_ours(path):
            os.chmod(path, 0o644)
    # The directories above are the user's alone, so nobody else comes this far.
    for path in (directory, os.path.dirname(rootfs["upper"])):
        os.chmod(path, 0o711)  # noqa: S103
    _give(layout, uid, gid, [*files, rootfs["upper"], rootfs["work"], *filter(None, [rootfs.get("tree")])])


def give_volumes(layout: Layout, decided: Mounts, uid: int, gid: int) -> None:
    """Give volumes that are as they were made, not filled from the image, to the container's root."""
    _give(layout, uid, gid, [item.path for item in decided.specs if item.type == "volume"])


def _give(layout: Layout, uid: int, gid: int, paths: list[str]) -> None:
    ours = [path for path in paths if _is_ours(path)]
    if ours:
        namespace.own(layout, uid, gid, ours)


def _is_ours(path: str) -> bool:
    return os.lstat(path).st_uid == os.geteuid()
