"""Runs a command under ptrace(2) with all that it starts, counts system calls, and kills at a chosen one.

``stepper.py OUT ROLE WHEN VICTIMS ROOT -- ARGUMENTS…``: at the WHEN-th system call of ROLE, before it is executed, each
living process whose role is one of VICTIMS (separated by commas) is killed. WHEN 0: nobody; the calls are counted.
Roles: ``client`` (the command), ``helper`` (what it starts, its threads too), ``monitor``, ``init`` (the monitor's
children) and ``program`` (init's); ``any`` counts the calls of all. OUT gets JSON: {"calls": {role: count},
"killed": {pid: role}, "status": the command's, "first": the client's first call that names something below ROOT, or 0}.

Unlike strace's --inject it counts all calls of a process together, and can end several processes at once. newuidmap(1)
and fusermount3(1) are set-user-ID and cannot be traced: another container must keep the engine namespace; and where the
client alone is the victim, what it starts is not followed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SEIZE, _SYSCALL, _LISTEN, _GETEVENTMSG, _SYSCALL_INFO = 0x4206, 24, 0x4208, 0x4201, 0x420E
# PTRACE_O_TRACESYSGOOD, -EXEC; -FORK, -VFORK, -CLONE
_OPTIONS, _FOLLOW = 0x01 | 0x10, 0x02 | 0x04 | 0x08
_FORKS, _EVENT_EXEC, _EVENT_STOP = (1, 2, 3), 4, 128
_WALL = 0x40000000
_CHILD_OF = {"client": "helper", "helper": "helper", "monitor": "init", "init": "program", "program": "program"}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> bool:
    """False where the process is gone: a tracee may be killed at any time."""
    return bool(_libc.ptrace(request, pid, address, data) != -1)


class Stepper:
    def __init__(self, role: str, when: int, victims: frozenset[str], root: str = "") -> None:
        self.role = role
        self.when = when
        self.victims = victims
        self.roles: dict[int, str] = {}
        self.calls: Counter[str] = Counter()
        self.killed: dict[int, str] = {}
        self.status = -1
        self.first = 0
        self._root = root
        self._info = ctypes.create_string_buffer(88)

    def run(self, argv: list[str]) -> None:
        """Start the command and follow it to its end, and on to the killing or the end of the role; then let go."""
        self.follow(lambda: os.execv(argv[0], argv))

    def follow(self, act: Callable[[], object]) -> None:
        """Do the same with a function, which is called in a forked child."""
        go_read, go_write = os.pipe()
        main = os.fork()
        if main == 0:
            os.close(go_write)
            os.read(go_read, 1)
            code = 1
            try:
                act()
                code = 0
            finally:
                os._exit(code)
        os.close(go_read)
        self.roles[main] = "client"
        is_alone = self.role == "client" and self.victims == {"client"}
        if not ptrace(_SEIZE, main, 0, _OPTIONS if is_alone else _OPTIONS | _FOLLOW):
            raise OSError(ctypes.get_errno(), "PTRACE_SEIZE")
        os.close(go_write)
        while self.status < 0 or (not self.killed and self.role in self.roles.values()):
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                self._stopped(pid, status)
            else:
                self.roles.pop(pid, None)
                if pid == main:
                    self.status = os.waitstatus_to_exitcode(status) & 0xFF

    def _stopped(self, pid: int, status: int) -> None:
        number, event = os.WSTOPSIG(status), status >> 16
        deliver = 0
        if number == signal.SIGTRAP | 0x80:
            if self._is_entry(pid):
                self._called(pid)
        elif event in _FORKS:
            self._adopt(pid)
        elif event == _EVENT_EXEC:
            self._executed(pid)
        elif event == _EVENT_STOP and number != signal.SIGTRAP:
            ptrace(_LISTEN, pid)
            return
        elif not event:
            deliver = number
        ptrace(_SYSCALL, pid, 0, deliver)

    def _is_entry(self, pid: int) -> bool:
        address = ctypes.addressof(self._info)
        return ptrace(_SYSCALL_INFO, pid, len(self._info), address) and self._info.raw[0] == 1

    def _adopt(self, parent: int) -> None:
        child = ctypes.c_ulong()
        ptrace(_GETEVENTMSG, parent, 0, ctypes.addressof(child))
        role = self.roles.get(parent, "helper")
        self.roles[child.value] = _CHILD_OF[role]

    def _executed(self, pid: int) -> None:
        try:
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        except OSError:
            return
        if program == "pyrun-monitor" and self.roles.get(pid) == "helper":
            self.roles[pid] = "monitor"

    def _called(self, pid: int) -> None:
        role = self.roles.setdefault(pid, "helper")
        self.calls[role] += 1
        if role == "client" and not self.first and self._root and any(self.paths(pid)):
            self.first = self.calls[role]
        count = self.calls.total() if self.role == "any" else self.calls[role]
        if self.role not in ("any", role) or count != self.when:
            return
        for victim, its_role in self.roles.items():
            if its_role in self.victims:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.killed[victim] = its_role

    def paths(self, pid: int) -> list[str]:
        """Return the arguments of the call that is being entered that name something below the root."""
        found = []
        for index in range(4):
            address = int.from_bytes(self._info.raw[32 + 8 * index : 40 + 8 * index], "little")
            try:
                found.append(text(pid, address))
            except (OSError, OverflowError):
                continue  # it is a number, or the process has just been killed
        return [path for path in found if path.startswith(self._root)]


def text(pid: int, address: int) -> str:
    """Read a string of a process's memory, to the end of its page at most. Raises: OSError."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(4096 - address % 4096).split(b"\0")[0].decode("utf-8", "replace")


def main() -> int:
    out, role, when, victims, root, _, *argv = sys.argv[1:]
    stepper = Stepper(role, int(when), frozenset(victims.split(",")), root)
    stepper.run(argv)
    with open(out, "w", encoding="ascii") as file:
        json.dump(
            {"calls": stepper.calls, "killed": stepper.killed, "status": stepper.status, "first": stepper.first}, file
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
