"""The processes of a container, found from outside.

It must not know what they are for. Mechanism: linux/processes.py.
"""

from __future__ import annotations

from pyrun.linux.processes import Table
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.linux.processes import Process


def members(directory: str, init: int) -> list[Process]:
    """Return the processes of the container in ``directory`` whose first process is ``init``, that one first."""
    return Table(namespace_of(directory)).members(init)


def namespace_of(directory: str) -> str:
    """Return the namespace that tells who belongs to the container: pid, or mnt where others share its pids.

    Its mount namespace is its own in any case; but in a pid namespace nobody can hide whom his parent has left behind.
    """
    namespaces = containers.load_file(directory, "config.json")["linux"]["namespaces"]
    return "pid" if any(item["type"] == "pid" and not item.get("path") for item in namespaces) else "mnt"
