"""Layers in the form that a map needs: derived once by copy, never changed in place.

A layer's ``full`` form has file owner n as engine id n. Under keep-id, nomap and auto container id n is another engine
id, so owners must be shifted on disk: an unprivileged user cannot idmap a mount of his own files (mount_setattr(2)).
It must not know how a container is made. The first container under such a map pays for the copy, the others nothing.
"""

from __future__ import annotations

import os

from pyrun.engine import namespace
from pyrun.engine.idmap import IdMap
from pyrun.layers.lowerdir import MARKED_WHITEOUTS, TREE, has_patches, patch_dir
from pyrun.runtime.engine_ns import FORM_FULL
from pyrun.store import fsio, leases, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout


def ensure(layout: Layout, image: dict[str, Any], id_map: IdMap) -> None:
    """Make the layers of an image exist in the map's form; cheap where they do.

    Raises: StorageFullError, SyscallError. What was begun is swept.
    """
    diff_ids = [layer["diff_id"] for layer in image["layers"]]
    if not diff_ids:
        return
    wanted = [(layout.layer(item, FORM_FULL), layout.layer(item, id_map.form)) for item in diff_ids]
    if has_patches(wanted[-1][0]):
        patch = patch_dir(layout, diff_ids, FORM_FULL)
        if os.path.isdir(patch):  # the image's own: its layers may all be there for others
            wanted.append((patch, patch_dir(layout, diff_ids, id_map.form)))
    if all(os.path.isdir(target) for _, target in wanted):
        return
    namespace.register(layout)
    with leases.acquire(layout, [image["manifest"], *(layer["digest"] for layer in image["layers"])]):
        for source, target in wanted:
            _derive(layout, source, target, id_map)


def _derive(layout: Layout, source: str, target: str, id_map: IdMap) -> None:
    if os.path.isdir(target):
        return
    building = build(layout, source, target, id_map)
    try:
        os.rename(building, target)
    except OSError as error:
        trees.remove_tree(building)
        if not os.path.isdir(target):  # else another process was first; its copy is the same
            raise fsio.full_or(error, target) from error


def build(layout: Layout, source: str, target: str, id_map: IdMap) -> str:
    """Make the form of a layer that will be ``target`` below tmp/, on disk; return where. Raises: as `ensure`."""
    building = f"{layout.tmp}/{owner.token()}"
    try:
        fsio.make_directory(f"{building}/{TREE}")
        if os.path.exists(f"{source}/{MARKED_WHITEOUTS}"):
            fsio.write_new(f"{building}/{MARKED_WHITEOUTS}", b"")
        options = [word for extent in maps(id_map) for word in ("--map", extent)]
        namespace.copy(layout, f"{source}/{TREE}", f"{building}/{TREE}", *options)
        # A form is never made again: after a power loss, empty files under its name would stay.
        fsio.sync_file_system(building)
    except OSError as error:
        trees.remove_tree(building)
        raise fsio.full_or(error, target) from error
    except BaseException:
        trees.remove_tree(building)
        raise
    return building


def maps(id_map: IdMap) -> list[str]:
    """Return what a layer's owners become under a map, as pyrun-tree's ``--map`` takes it."""
    return [
        f"{kind}:{inside}:{outside}:{size}"
        for kind, extents in (("u", id_map.uids), ("g", id_map.gids))
        for inside, outside, size in extents
    ]
