"""The patch of an image: directories that some layer only implied, with the metadata that they have further down.

It must not know images or registries: it gets diff_ids. lowerdir.py says why there are patches and where they are.
"""

from __future__ import annotations

import os

from pyrun.layers import pyrun_tree, sidecar
from pyrun.layers.lowerdir import SIDECAR, TREE, patch_dir
from pyrun.store import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout


def stage(
    layout: Layout, diff_ids: Sequence[str], form: str, directories: Sequence[str], *, temporary: str,
    spawn: pyrun_tree.Spawn = pyrun_tree.spawn_here, program: str | None = None,
) -> bool:  # fmt: skip
    """Build the image's patch at ``temporary`` if it needs one and has none; return whether it was built.

    ``diff_ids``, ``directories``: lowest first; where the layers are at the moment. ``temporary`` is a path that does
    not exist, on their file system. After an error it is the caller's to remove.
    """
    if not diff_ids or os.path.isdir(patch_dir(layout, diff_ids, form)):
        return False
    return build(directories, temporary=temporary, spawn=spawn, program=program)


def build(
    directories: Sequence[str], *, temporary: str, spawn: pyrun_tree.Spawn = pyrun_tree.spawn_here,
    program: str | None = None,
) -> bool:  # fmt: skip
    """Build the patch of an image whose layers are ``directories`` as `stage` does, whether it has one or not."""
    directories = directories[::-1]
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
    return True


def publish(layout: Layout, diff_ids: Sequence[str], form: str, temporary: str) -> None:
    """Give a patch that was built its name; the layers have theirs. Another process may be first."""
    final = patch_dir(layout, diff_ids, form)
    try:
        os.rename(temporary, final)
    except OSError:
        if not os.path.isdir(final):
            raise
        trees.remove_tree(temporary)


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
