"""Which root file system a container gets where the kernel's overlay is refused: fuse-overlayfs, else a copied tree.

Overlay is refused by kernels before 5.11, by file systems that cannot be an upper directory (NFS, overlay itself,
vfat …), by policies. Found out by trying: a refusal is remembered for this store and boot, so that later starts do not
try. A container stays with what it was first started on: fuse-overlayfs keeps its own marks in the upper directory,
which neither the kernel nor a copy obeys. It must not know what a container runs.

A known fault of fuse-overlayfs 1.10, in any engine: where a file of the image was replaced by a rename and removed,
the image's comes back. PYRUN_ROOTFS=copy, for one command, avoids it.
"""

from __future__ import annotations

import os

from pyrun.errors import FeatureMissingError, KernelError, SyscallError
from pyrun.layers.lowerdir import has_marked_whiteouts
from pyrun.oci import json
from pyrun.runtime.compile import fuse_options
from pyrun.store import fsio, owner, sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout

OVERLAY, FUSE, COPY = "overlay", "fuse-overlayfs", "copied tree"
# What PYRUN_ROOTFS may say, for one command.
_FORCED = {"overlay": OVERLAY, "fuse": FUSE, "copy": COPY}
# EPERM, EACCES: not allowed here; EINVAL: this file system cannot be an upper; ENODEV, ENOSYS: no overlay; EOPNOTSUPP:
# no xattrs; ESTALE, EREMOTE: network file systems.
_REFUSALS = (1, 13, 22, 19, 38, 95, 116, 66)
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_DEVICE = "/dev/fuse"
# linux/binfmts.h MAX_ARG_STRLEN: one argument of execve(2).
_ARGUMENT_BYTES = 131072


def decide(layout: Layout, directory: str, config: dict[str, Any], rootfs: dict[str, Any]) -> dict[str, Any]:
    """Return rootfs.json as it is for this start: with ``tree`` (a copy), with ``fuse`` (the program), or unchanged.

    Raises: FeatureMissingError if fuse-overlayfs is what it must be and cannot.
    """
    if "tree" in rootfs:
        return rootfs
    forced = _FORCED.get(os.environ.get("PYRUN_ROOTFS", ""))
    known = refusals(layout)
    if forced == OVERLAY or (forced is None and OVERLAY not in known and "fuse" not in rootfs):
        return rootfs
    if "fuse" not in rootfs and (forced == COPY or (forced is None and FUSE in known)):
        return _copied(layout, directory, rootfs)
    missing = fuse_missing() or _unsuitable(config, rootfs)
    if not missing:
        return write(directory, {**rootfs, "fuse": program()})
    if "fuse" in rootfs or forced == FUSE:
        raise FeatureMissingError(FUSE, missing, hint="a new container can have a copied tree: PYRUN_ROOTFS=copy")
    return _copied(layout, directory, rootfs)


def _copied(layout: Layout, directory: str, rootfs: dict[str, Any]) -> dict[str, Any]:
    from pyrun.engine import plain_root

    return plain_root.ensure_tree(layout, directory, rootfs)


def falls_back(layout: Layout, directory: str, error: KernelError, *, is_first: bool) -> bool:
    """Say whether another try will do better after ``error``; then what was refused is remembered.

    ``is_first``: the container had not been on fuse-overlayfs before this start.
    """
    if not isinstance(error, SyscallError) or os.environ.get("PYRUN_ROOTFS") in _FORCED:
        return False
    if error.op == "overlay" and error.errno in _REFUSALS:
        _remember(layout, OVERLAY, f"{error.syscall}: {os.strerror(error.errno).lower()}")
        return True
    if error.op == "fuse_overlay" and is_first:
        _remember(layout, FUSE, str(error.message).replace("\n", " "))
        if os.path.exists(directory + "/rootfs.json"):
            # Nothing was written through it: the upper directory is what it was.
            rootfs = json.loads(fsio.read_bytes(directory + "/rootfs.json"))
            write(directory, {key: value for key, value in rootfs.items() if key != "fuse"})
        return True
    return False


def refusals(layout: Layout) -> dict[str, str]:
    """Return what is known to be refused for this store since the boot, each with the reason."""
    try:
        boot, *lines = fsio.read_bytes(layout.overlay_refused).decode("utf-8", "replace").split("\n")
    except OSError:
        return {}
    if boot != owner.boot():
        return {}
    found = {}
    for line in lines:
        name, separator, reason = line.partition("\t")
        if separator:
            found[name] = reason
    return found


def _remember(layout: Layout, name: str, reason: str) -> None:
    known = {**refusals(layout), name: reason}
    text = "\n".join([owner.boot(), *(f"{key}\t{value}" for key, value in known.items())])
    temporary = f"{layout.tmp}/{owner.token()}"
    fsio.write_atomic(layout.overlay_refused, text.encode("utf-8", "replace"), temporary=temporary, sync=False)


def write(directory: str, rootfs: dict[str, Any]) -> dict[str, Any]:
    """Replace a container's rootfs.json; returns it."""
    temporary = f"{directory}/rootfs.json.{os.getpid()}"
    fsio.write_atomic(directory + "/rootfs.json", sealed.seal(rootfs), temporary=temporary, sync=False)
    return rootfs


def program() -> str:
    """Return the path of fuse-overlayfs, or ""."""
    for directory in f"{os.environ.get('PATH', '')}:{_PATH}".split(":"):
        path = f"{directory}/{FUSE}"
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    return ""


def fuse_missing() -> str:
    """Return what fuse-overlayfs needs and this machine lacks, or ""."""
    if not program():
        return "it is not installed"
    return "" if os.access(_DEVICE, os.R_OK | os.W_OK) else f"{_DEVICE} cannot be opened"


def _unsuitable(config: dict[str, Any], rootfs: dict[str, Any]) -> str:
    linux = config["linux"]
    extents = (*(linux.get("uidMappings") or ()), *(linux.get("gidMappings") or ()))
    if any(item["containerID"] != item["hostID"] for item in extents):
        # FUSE carries numbers; those of the container are not those of the program, which is outside.
        return "the container's ids are mapped to others"
    if any(has_marked_whiteouts(path) for path in rootfs["lowerdirs"]):
        return "the whiteouts of this store are attributes, which it does not know"
    options = fuse_options(rootfs)
    paths = (*rootfs["lowerdirs"], rootfs["upper"], rootfs["work"])
    if (
        any(character in path for path in paths for character in ':,\\"')
        or len(os.fsencode(options)) >= _ARGUMENT_BYTES
    ):
        return "its options cannot name the directories of this store"
    return ""


def in_use(layout: Layout) -> str:
    """Return what new containers get and why, where overlay has been refused; else "": for ``pyrun info``."""
    known = refusals(layout)
    if OVERLAY not in known:
        return ""
    why = f"overlay was refused here: {known[OVERLAY]}"
    without_fuse = known.get(FUSE) or fuse_missing()
    return f"{COPY} ({why}; {FUSE}: {without_fuse})" if without_fuse else f"{FUSE} ({why})"
