"""From an image's layers to the lower directories that overlay gets, highest first.

Other code must not build these paths: what a layer is on disk may change. Hot: imports only os.

A directory that a layer's archive needed but did not list (``tmp/x`` without ``tmp/``) must not hide the mode and owner
it has further down. Layers are shared between images and never changed, so an image that needs it has one more
directory on top, the *patch*, which holds just those directories with the right metadata: patch.py makes it at pull.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout

TREE = "tree"
SIDECAR = "sidecar"
# Beside a tree whose whiteouts are files with an attribute, as its file system (overlay) refuses the device 0:0. The
# kernel obeys them since 6.7 (overlayfs.rst), our own programs do, others do not.
MARKED_WHITEOUTS = "marked-whiteouts"


def patch_dir(layout: Layout, diff_ids: Sequence[str], form: str) -> str:
    """Return where the patch of an image is, if it has one. ``diff_ids``: lowest first.

    It is named by the highest layer and the chain below, and lives beside that layer's forms, so it goes when it goes.
    """
    from hashlib import sha256

    chain = sha256("\n".join(diff_ids).encode()).hexdigest()
    return f"{layout.layer(diff_ids[-1], form)}.patch-{chain}"


def lowerdirs(layout: Layout, diff_ids: Sequence[str], form: str) -> list[str]:
    """Return the lower directories of an image, highest first. ``diff_ids``: lowest first, as in its config."""
    found: list[str] = []
    if not diff_ids:
        return found
    top = layout.layer(diff_ids[-1], form)
    # hashlib costs 4 ms to import (design §8): only where the highest layer has a patch at all.
    if has_patches(top):
        patch = f"{patch_dir(layout, diff_ids, form)}/{TREE}"
        if os.path.isdir(patch):
            found.append(patch)
    for diff_id in reversed(diff_ids):
        tree = f"{layout.layer(diff_id, form)}/{TREE}"
        found.append(tree)
        if _is_opaque(tree):
            break
    return found


def has_marked_whiteouts(lowerdir: str) -> bool:
    """Say whether the whiteouts of a lower directory are attributes."""
    return os.path.exists(f"{os.path.dirname(lowerdir)}/{MARKED_WHITEOUTS}")


def with_sidecars(lowerdirs: Sequence[str]) -> list[tuple[str, str]]:
    """Pair lower directories with the sidecars that speak of them, "" where there is none (a patch)."""
    found = []
    for tree in lowerdirs:
        layer = tree.removesuffix("/" + TREE)
        # A form that was derived by copy has what its tree lacks in the sidecar that the archive was unpacked with.
        paths = (f"{layer}/{SIDECAR}", f"{layer.rpartition('/')[0]}/full/{SIDECAR}")
        is_patch = ".patch-" in layer.rpartition("/")[2]
        found.append((tree, next((path for path in paths if not is_patch and os.path.exists(path)), "")))
    return found


def has_patches(layer: str) -> bool:
    """Say whether any image has a patch on this layer in this form; cheap."""
    directory, _, form = layer.rpartition("/")
    try:
        return any(name.startswith(form + ".patch-") for name in os.listdir(directory))
    except OSError:
        return False


def _is_opaque(tree: str) -> bool:
    # overlay does not look for the mark on the root of a layer: an opaque root means that nothing is below it.
    try:
        return os.getxattr(tree, "user.overlay.opaque") == b"y"
    except OSError:
        return False
