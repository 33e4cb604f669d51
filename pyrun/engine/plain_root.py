"""The last resort for a root file system: a tree of its own for each container, made by copy (or reflink).

When it is: engine/root_choice.py. It must not know what a container runs. The copy takes the image's size and time:
`pyrun info` says so.
"""

from __future__ import annotations

import os

from pyrun.engine import namespace, root_choice
from pyrun.store import fsio, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout


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
    return root_choice.write(directory, {**rootfs, "tree": target})
