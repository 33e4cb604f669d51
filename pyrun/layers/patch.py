"""The patch of an image: directories that some layer only implied, with the metadata that they have further down.

It must not know images or registries: it gets diff_ids. lowerdir.py says why there are patches and where they are.
"""

from __future__ import annotations

import os

from pyrun.layers import pyrun_tree, sidecar
from pyrun.layers.lowerdir import TREE, patch_dir
from pyrun.layers.unpack import SIDECAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout


def make_patch(
    layout: Layout, diff_ids: Sequence[str], form: str, *, temporary: str,
    spawn: pyrun_tree.Spawn = pyrun_tree.spawn_here, program: str | None = None,
) -> bool:  # fmt: skip
    """Make the image's patch if it needs one and has none; return whether it has one then.

    All layers must be in place (``diff_ids``: lowest first). ``temporary`` is a path that does not exist, on the file
    system of the layers: the patch is built there and renamed. Idempotent, and safe beside another process's doing it.
    After an error ``temporary`` is the caller's to remove.
    """
    final = patch_dir(layout, diff_ids, form) if diff_ids else ""
    if not final or os.path.isdir(final):
        return bool(final)
    directories = [layout.layer(diff_id, form) for diff_id in reversed(diff_ids)]
    wanted = _implied(directories)
    if not wanted:
        return False
    os.makedirs(f"{temporary}/{TREE}", 0o700)
    dest = os.open(f"{temporary}/{TREE}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        arguments = ["patch", "--dest-fd", str(dest), *(f"{directory}/{TREE}" for directory in directories)]
        report = pyrun_tree.run(
            arguments, spawn=spawn, pass_fds=[dest], stdin=wanted, what=temporary, program_path=program
        )
    finally:
        os.close(dest)
    if report.number("entries") == 0:
        # Nothing further down has them: what the archive implied is all there is. The directory is the user's still.
        os.rmdir(f"{temporary}/{TREE}")
        os.rmdir(temporary)
        return False
    try:
        os.rename(temporary, final)
    except OSError:
        # Another process was first (rename(2): EEXIST or ENOTEMPTY); its patch is the same.
        if not os.path.isdir(final):
            raise
        pyrun_tree.run(["remove", temporary], spawn=spawn, what=temporary, program_path=program)
    return True


def _implied(directories: Sequence[str]) -> bytes:
    """Return the helper's input: each implied path and the layers (0: highest) that imply it, parents first."""
    layers: dict[bytes, list[int]] = {}
    for number, directory in enumerate(directories):
        for path in sidecar.implied(f"{directory}/{SIDECAR}"):
            layers.setdefault(path, []).append(number)
    # The lowest layer hides nothing.
    lowest = len(directories) - 1
    return b"".join(
        path + b"\0" + ",".join(map(str, layers[path])).encode() + b"\0"
        for path in sorted(layers, key=lambda path: path.split(b"/"))
        if min(layers[path]) < lowest
    )
