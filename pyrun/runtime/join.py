"""A further process in a running container, by a small program (native/monitor/exec.c) that waits for it.

It must not know options or streams. HOT. That program outlives us: it records the end of the process, and reads its
terminal once we have gone.
"""

from __future__ import annotations

import _socket
import os
from _struct import pack

from pyrun.errors import KernelError
from pyrun.runtime import engine_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.runtime.plan import Plan

_AF_UNIX, _SOCK_SEQPACKET = 1, 5
_RECORD_BYTES = 32  # native/plan/plan.h struct plan_failure
# Not of runtime/launch.py, which has nothing else for an exec.
_PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "libexec/pyrun-monitor")
_NOWHERE = engine_ns.EngineMap(0, "", "", None, None)


class Joined:
    """``failure``: the record of what went wrong, b"" once the program has been executed.

    ``process``: the small program, which ends as the process does; ``console``: its console's master, the caller's to
    close, -1 without one.
    """

    __slots__ = ("_connection", "console", "failure", "process")

    def __init__(self, process: engine_ns.Process, connection: _socket.socket, failure: bytes, console: int) -> None:
        self.process = process
        self._connection = connection
        self.failure = failure
        self.console = console

    def start_is_recorded(self) -> None:
        """Allow that the end is recorded."""
        self._tell(b"s")

    def has_failed(self) -> None:
        """Wait for the end of what never began; nothing is recorded of it."""
        self._tell(b"f")
        self.process.wait()  # first: to close with what we have not read would take the word back (ECONNRESET)
        self.close()

    def _tell(self, word: bytes) -> None:
        try:
            self._connection.send(word)
        except OSError:
            return  # it has ended: the process could not even be made

    def close(self) -> None:
        """Let go of the connection: what has been started goes on."""
        self._connection.close()


def join(
    pidfd: int, namespaces: int, plan: Plan, stdio: Sequence[int], *, has_console: bool, events: str, event: str,
    cgroup_fd: int = -1,
) -> Joined:  # fmt: skip
    """Start the process and wait until its program has been executed, or could not be.

    ``pidfd``: the container's init; ``stdio``: what becomes its standard streams, unless it gets a console;
    ``cgroup_fd``: cgroup.procs of the group that it joins, -1: it stays in ours;
    ``event``: of its end, as far as the attributes; "" where nothing is to be recorded in the file ``events``.
    """
    encoded = plan.encode()
    texts = [os.fsencode(text) + b"\0" if event else b"" for text in (events, event)]
    sizes = (len(encoded), *map(len, texts))
    order = engine_ns.sealed(pack("=6I", namespaces, has_console, *sizes, 0) + encoded + b"".join(texts))
    report, report_end = os.pipe2(os.O_CLOEXEC)
    ours, theirs = _socket.socketpair(_AF_UNIX, _SOCK_SEQPACKET)
    try:
        fds = (*stdio, order, pidfd, report_end, theirs.fileno(), cgroup_fd)
        process = engine_ns.spawn_in("", _NOWHERE, [_PROGRAM, "exec"], fds=fds)
    except BaseException:
        os.close(report)
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(order)
        os.close(report_end)
    try:
        failure = os.read(report, _RECORD_BYTES)
    finally:
        os.close(report)
    told, ancillary = (b"", []) if failure else ours.recvmsg(4, 64)[:2]
    if not failure and not told:
        ours.close()
        process.wait()
        raise KernelError("cannot exec: the program that was to wait for it was killed")
    console = int.from_bytes(ancillary[0][2][:4], "little") if ancillary else -1
    return Joined(process, ours, failure, console)
