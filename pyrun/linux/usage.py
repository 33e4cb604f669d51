"""What processes have used so far: of a cgroup2 where they have one of their own, else added up from /proc.

It must not know containers. Sources: cgroup-v2.rst "Controllers", proc(5).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.linux.processes import Process

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage:
    """``cpu_ns`` and the bytes read and written only grow; ``source``: cgroup, or proc."""

    __slots__ = ("cpu_ns", "limit", "memory", "pids", "read", "received", "sent", "source", "written")

    def __init__(self) -> None:
        self.source = "proc"
        self.cpu_ns = self.memory = self.limit = self.pids = 0
        self.read = self.written = self.received = self.sent = 0


def of(processes: Sequence[Process], group: str = "") -> Usage:
    """Return what these processes use; ``group``: one that holds them and at most what serves them, or "".

    What no controller of the group counts is taken from /proc.
    """
    usage = Usage()
    usage.limit = _memory_of_machine()
    for process in processes:
        _add(usage, process)
    if group:
        usage.source = "cgroup"
        _take_group(usage, group)
    if processes:
        usage.received, usage.sent = _network(processes[0].pid)
    return usage


def _add(usage: Usage, process: Process) -> None:
    # A child's times and bytes are added to its parent's when that one has waited for it: nothing is counted twice.
    usage.cpu_ns += sum(map(int, process.fields[11:15])) * _TICK_NS
    usage.pids += int(process.fields[17])
    usage.memory += _memory(process)
    for line in _lines(f"/proc/{process.pid}/io"):
        key, _, value = line.partition(": ")
        if key == "read_bytes":
            usage.read += int(value)
        elif key == "write_bytes":
            usage.written += int(value)


def _memory(process: Process) -> int:
    """Return its proportional share: pages that several processes map are counted once in all; else what it maps."""
    for line in _lines(f"/proc/{process.pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return int(process.fields[21]) * _PAGE


def _take_group(usage: Usage, group: str) -> None:
    cpu = _pairs(f"{group}/cpu.stat")
    if "usage_usec" in cpu:
        usage.cpu_ns = cpu["usage_usec"] * 1000
    current = _number(f"{group}/memory.current")
    if current is not None:
        # As docker: files that nobody has looked at for a while are not the container's need.
        usage.memory = max(0, current - _pairs(f"{group}/memory.stat").get("inactive_file", 0))
        usage.limit = min(usage.limit, _number(f"{group}/memory.max") or usage.limit)
    devices = _lines(f"{group}/io.stat")
    if os.path.exists(f"{group}/io.stat"):
        words = [word.partition("=") for line in devices for word in line.split()[1:]]
        usage.read = sum(int(value) for key, _, value in words if key == "rbytes")
        usage.written = sum(int(value) for key, _, value in words if key == "wbytes")


def _network(pid: int) -> tuple[int, int]:
    """Return the bytes received and sent in a process's network namespace, but for loopback; of ours: none."""
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            return 0, 0
    except OSError:
        return 0, 0
    received = sent = 0
    for line in _lines(f"/proc/{pid}/net/dev")[2:]:
        name, _, rest = line.partition(":")
        fields = rest.split()
        if name.strip() != "lo":
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _memory_of_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE


def _number(path: str) -> int | None:
    """Return the number in a file; None for "max" and where the controller is not enabled."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _pairs(path: str) -> dict[str, int]:
    return {key: int(value) for key, _, value in (line.partition(" ") for line in _lines(path))}


def _lines(path: str) -> list[str]:
    """Return the lines of a file; none where it is not there, or not ours to read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
