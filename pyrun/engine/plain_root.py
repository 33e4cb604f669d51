"""The root file system where overlay is refused: a tree of its own for each container, made by copy (or reflink).

Refused by kernels before 5.11, by file systems that cannot be an upper directory (NFS, overlay itself, vfat …), by
policies. Found out by trying: the first refusal is remembered for this store and boot, so that later starts do not try.
It must not know what a container runs. The copy takes the image's size and time: `pyrun info` says so.
"""

from __future__ import annotations

import os

from pyrun.engine import namespace
from pyrun.errors import KernelError, SyscallError
from pyrun.oci import json
from pyrun.store import fsio, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout

# EPERM, EACCES: not allowed here; EINVAL: this file system cannot be an upper; ENODEV, ENOSYS: no overlay; EOPNOTSUPP:
# no xattrs; ESTALE, EREMOTE: network file systems.
_REFUSALS = (1, 13, 22, 19, 38, 95, 116, 66)


def is_refused(layout: Layout) -> bool:
    """Whether overlay is known to be refused for this store; ``PYRUN_ROOTFS=copy`` says so for one command."""
    if os.environ.get("PYRUN_ROOTFS") == "copy":
        return True
    try:
        return fsio.read_bytes(layout.overlay_refused).decode() == owner.boot()
    except OSError:
        return False


def is_refusal(error: KernelError) -> bool:
    """Whether a start failed because overlay was refused."""
    return isinstance(error, SyscallError) and error.op == "overlay" and error.errno in _REFUSALS


def remember(layout: Layout) -> None:
    """Remember the refusal until the next boot."""
    temporary = f"{layout.tmp}/{owner.token()}"
    fsio.write_atomic(layout.overlay_refused, owner.boot().encode(), temporary=temporary, sync=False)


def ensure_tree(layout: Layout, directory: str, rootfs: dict[str, Any]) -> dict[str, Any]:
    """Return rootfs.json with ``tree``: lower directories and upper, merged once into a directory beside the upper."""
    if "tree" in rootfs:
        return rootfs
    target = os.path.dirname(rootfs["upper"]) + "/tree"
    building = f"{target}.part"
    namespace.register(layout)
    trees.remove_tree(building)
    try:
        os.mkdir(building, 0o755)
        for source in (*reversed(rootfs["lowerdirs"]), rootfs["upper"]):
            namespace.copy(layout, source, building, "--overlay")
        os.rename(building, target)
    except OSError as error:
        trees.remove_tree(building)
        raise fsio.full_or(error, target) from error
    except BaseException:
        trees.remove_tree(building)
        raise
    changed = {**rootfs, "tree": target}
    temporary = f"{directory}/rootfs.json.{os.getpid()}"
    fsio.write_atomic(directory + "/rootfs.json", json.dumps(changed).encode(), temporary=temporary, sync=False)
    return changed
