"""``stats``: what containers use, from their cgroup where they have one of their own, else from /proc.

It must not know how it is shown, and never waits: who wants a rate samples twice.
"""

from __future__ import annotations

import time

from pyrun.engine import ps
from pyrun.errors import ContainerNotFoundError
from pyrun.linux import freezer, processes, usage
from pyrun.runtime import members, pause
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.ps import Container
    from pyrun.linux.usage import Usage
    from pyrun.store.layout import Layout


class Stats:
    """What one container uses at one moment; ``usage`` is None where it does not run.

    ``given``: how the user has called it. ``cpu_percent``: of one processor, since the sample before; None at first.
    """

    __slots__ = ("container", "cpu_percent", "given", "time_ns", "usage")

    def __init__(self, container: Container, given: str) -> None:
        self.container = container
        self.given = given
        self.usage: Usage | None = None
        self.time_ns = 0
        self.cpu_percent: float | None = None


class Sampler:
    """Looks at the same containers again and again; without names: at those that run at each moment, or at ``all``."""

    def __init__(self, layout: Layout, names: Sequence[str] = (), *, all: bool = False) -> None:
        self._layout = layout
        self._all = all
        self._before: dict[tuple[str, int], Stats] = {}
        # Resolved now: a name that nobody has is an error, one that is removed later drops out.
        self._named = [(name, *containers.resolve(layout, name)) for name in names] if names else None

    def sample(self) -> list[Stats]:
        """Return what each container uses, in the order of the names, else newest first."""
        found = self._containers()
        tables: dict[str, processes.Table] = {}
        groups: dict[str, frozenset[int]] = {}
        for stats in found:
            if stats.container.state.status == "running":
                try:
                    _measure(stats, tables, groups)
                except ContainerNotFoundError:
                    continue  # --rm, just now
                self._rate(stats)
        self._before = {_key(stats): stats for stats in found}
        return found

    def _containers(self) -> list[Stats]:
        if self._named is None:
            return [Stats(one, one.id[:12]) for one in ps.list_containers(self._layout, all=self._all)]
        pairs = [(name, ps.load(container_id, directory)) for name, container_id, directory in self._named]
        return [Stats(container, name) for name, container in pairs if container is not None]

    def _rate(self, stats: Stats) -> None:
        before = self._before.get(_key(stats))
        if stats.usage is None or before is None or before.usage is None or stats.time_ns <= before.time_ns:
            return
        used = max(0, stats.usage.cpu_ns - before.usage.cpu_ns)
        stats.cpu_percent = 100 * used / (stats.time_ns - before.time_ns)


def _key(stats: Stats) -> tuple[str, int]:
    """A container that was started again counts from 0."""
    return stats.container.id, stats.container.state.starttime


def _measure(stats: Stats, tables: dict[str, processes.Table], groups: dict[str, frozenset[int]]) -> None:
    now, kind = stats.container.state, members.namespace_of(stats.container.directory)
    if kind not in tables:
        tables[kind] = processes.Table(kind)
    inside = tables[kind].members(now.pid)
    stats.time_ns = time.monotonic_ns()
    stats.usage = usage.of(inside, _own_group(now.pid, now.monitor, tables[kind], groups))


def _own_group(init: int, monitor: int, table: processes.Table, groups: dict[str, frozenset[int]]) -> str:
    """Return the container's group of cgroup2 if nobody is in it but the container and what serves it, else ""."""
    group = pause.home_of(freezer.group_of(init))
    if not group:
        return ""
    if group not in groups:
        groups[group] = frozenset(freezer.all_processes(group))
    served = {process.pid for process in (*table.members(monitor), *table.members(init))}
    return group if groups[group] <= served else ""
