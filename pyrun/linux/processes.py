"""The processes of a container, seen from outside: who is in its namespace, or descends from one who is.

It must not know what a container is beyond its first process. Any user's /proc/PID/stat may be read; a namespace's link
only with the right to ptrace, which the owner of a user namespace has over what is in it: ptrace(2), "Ptrace access
mode checking".
"""

from __future__ import annotations

import os

from pyrun.errors import is_no_answer

_DEAD = b"ZX"


class Process:
    """One line of /proc/PID/stat: proc(5). ``fields[0]`` is the state, field 3 of the manual."""

    __slots__ = ("fields", "pid")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.fields = fields

    @property
    def state(self) -> str:
        """R, S, D, T, …"""
        return self.fields[0].decode("ascii")

    @property
    def parent(self) -> int:
        """The pid of its parent."""
        return int(self.fields[1])

    @property
    def starttime(self) -> int:
        """Clock ticks since boot: with the pid it names the process for ever."""
        return int(self.fields[19])


class Table:
    """All processes at (about) one moment that are not in a namespace of our own; ``kind``: pid, or mnt.

    A process that was made while this was read may be missing, but not the one that made it, if that one lives.
    """

    __slots__ = ("_by_namespace", "_children", "_kind", "_processes")

    def __init__(self, kind: str = "pid") -> None:
        self._kind = kind
        self._processes: dict[int, Process] = {}
        self._children: dict[int, list[int]] = {}
        self._by_namespace: dict[int, list[int]] = {}
        own = _namespace("self", kind)
        for name in os.listdir("/proc"):
            if name.isdigit():
                self._add(name, kind, own)

    def _add(self, name: str, kind: str, own: int) -> None:
        namespace = _namespace(name, kind)
        if namespace == own:
            return
        process = read(int(name))
        if process is None or process.fields[0] in _DEAD:
            return
        self._processes[process.pid] = process
        self._children.setdefault(process.parent, []).append(process.pid)
        self._by_namespace.setdefault(namespace, []).append(process.pid)

    def members(self, init: int) -> list[Process]:
        """Return the processes of the container whose first process is ``init``, that one first.

        A process in a namespace below (docker in docker) descends from one in the container's own: whom its parent
        leaves behind is given to the first process of the namespace where it was born.
        """
        namespace = _namespace(str(init), self._kind)
        pending = [init, *(self._by_namespace.get(namespace, ()) if namespace else ())]
        found: dict[int, Process] = {}
        for pid in pending:  # grows while it is walked
            process = self._processes.get(pid)
            if process is not None and pid not in found:
                found[pid] = process
                pending.extend(self._children.get(pid, ()))
        return [*found.values()]


def read(pid: int) -> Process | None:
    """Return a process, or None if there is none with this pid."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if is_no_answer(error):
            raise
        return None
    try:
        content = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    # Its name may hold spaces and parentheses: the fields are counted after the last ")".
    return Process(pid, content[content.rindex(b")") + 2 :].split())


def open_pidfd(process: Process) -> int:
    """Return a pidfd of exactly this process, or -1 if it has ended."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError as error:
        if is_no_answer(error):
            raise
        return -1
    again = read(process.pid)
    if again is not None and again.starttime == process.starttime:
        return fd
    os.close(fd)
    return -1


def _namespace(pid: str, kind: str) -> int:
    """Return the inode of a process's namespace; 0 where we may not know."""
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return 0
