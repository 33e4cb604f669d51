"""What things take on the disk: measured in the engine namespace, since layers and containers hold files of other ids.

It must not know how sizes are shown. ``Usage.disk`` is what du(1) says, ``Usage.size`` the lengths of the files.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout


class Usage(NamedTuple):
    """Bytes."""

    disk: int
    size: int


def measure(layout: Layout, paths: Sequence[str]) -> list[Usage]:
    """Measure trees, none of which need be there; a file of several names counts once. Raises: SyscallError."""
    from pyrun.engine import namespace
    from pyrun.layers import pyrun_tree

    found: list[Usage] = []
    for first in range(0, len(paths), namespace.AT_ONCE):
        part = paths[first : first + namespace.AT_ONCE]
        report = pyrun_tree.run(["usage", *part], spawn=namespace.spawner(layout), what=part[0])
        found += [Usage(report.number(f"{place}.disk"), report.number(f"{place}.size")) for place in range(len(part))]
    return found


def writable_sizes(layout: Layout, directories: Sequence[str]) -> list[int]:
    """Return docker's SizeRw of containers: the lengths of the files that each has changed."""
    return [usage.size for usage in measure(layout, [f"{directory}/upper" for directory in directories])]
