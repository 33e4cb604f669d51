"""What a container's or an image's files are made of, in the words of the store's helper: for export, diff and commit.

Nothing is mounted for it: the helper reads upper directory, layers and sidecars (native/tree/union.c). So mounts are
not part of it, and it does not matter whether the container runs. It must not know what is done with them.
"""

from __future__ import annotations

import os

from pyrun.engine import lifecycle, namespace
from pyrun.errors import StoreCorruptError
from pyrun.images import resolve
from pyrun.layers import pyrun_tree
from pyrun.layers.lowerdir import lowerdirs, with_sidecars
from pyrun.runtime import state
from pyrun.runtime.engine_ns import FORM_FLAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pyrun.store.layout import Layout


def trees(directory: str, config: dict[str, Any], rootfs: dict[str, Any]) -> list[str]:
    """Return the arguments that name a container's trees and ids, for ``export`` and ``changes``."""
    words = ["--flat"] if rootfs["form"] == FORM_FLAT else []
    words += id_maps(config)
    if "tree" in rootfs:
        # rootfs.json names the tree since it was whole: what changed later than that was changed by the container.
        copied = os.stat(f"{directory}/rootfs.json").st_mtime_ns
        words += ["--copied", f"{copied // 1_000_000_000}.{copied % 1_000_000_000:09}", "--tree", rootfs["tree"]]
    else:
        words += ["--fuse" if "fuse" in rootfs else "--upper", rootfs["upper"]]
    for tree, sidecar in with_sidecars(rootfs["lowerdirs"]):
        words += ["--layer", tree, sidecar]
    return words


def image_layers(layout: Layout, diff_ids: Sequence[str], form: str, *, option: str = "--layer") -> list[str]:
    """Return the arguments that name an image's trees, ``diff_ids``: lowest first."""
    found = with_sidecars(lowerdirs(layout, diff_ids, form))
    return [word for tree, sidecar in found for word in (option, tree, sidecar)]


def require_layers(layout: Layout, record: dict[str, Any], form: str, what: str, name: str) -> None:
    """Check that an image is unpacked in a form; ``what`` is a verb. Raises: StoreCorruptError."""
    if not resolve.has_layers(layout, record, form):
        raise StoreCorruptError(
            f"cannot {what} image: {name}: its layers are not unpacked",
            path=layout.layers,
            hint=f"pull it again: `pyrun pull {name}`",
        )


def id_maps(config: dict[str, Any], *, inwards: bool = False) -> list[str]:
    """Return the arguments that turn owners in the engine namespace into the container's, or (``inwards``) back."""
    words = []
    for kind, field in (("u", "uidMappings"), ("g", "gidMappings")):
        for item in config["linux"].get(field) or ():
            ours, theirs = item["hostID"], item["containerID"]
            first, second = (theirs, ours) if inwards else (ours, theirs)
            words += ["--map", f"{kind}:{first}:{second}:{item['size']}"]
    return words


def own_mounts(record: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    """Give the paths, relative to the root, where something is mounted that is not the user's: docker's init layer."""
    users = {mount["destination"] for mount in record["mounts"]}
    for mount in config["mounts"]:
        if mount["destination"] not in users:
            yield mount["destination"].lstrip("/")


def sync(layout: Layout, directory: str, rootfs: dict[str, Any]) -> None:
    """Let fuse-overlayfs write what the kernel still holds for it, where a container runs on it."""
    if "fuse" not in rootfs:
        return
    now = state.status(directory)
    pidfd = lifecycle.open_process(now.pid, now.starttime) if now.pid else -1
    if pidfd < 0:
        return
    try:
        spawn = namespace.spawner(layout, beside=(now.monitor, now.monitor_starttime))
        pyrun_tree.run(["sync", "--pidfd", str(pidfd)], spawn=spawn, pass_fds=[pidfd], what=directory)
    finally:
        os.close(pidfd)
