"""Start a bundle: plan, job, monitor; and read the monitor's first words.

It must not know images or options. Protocol of the socket: native/monitor/monitor.h ``enum frame``.
"""

from __future__ import annotations

import _socket
import os

from pyrun.errors import KernelError
from pyrun.runtime import engine_ns
from pyrun.runtime.job import PASSTHROUGH, Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.engine_ns import EngineMap
    from pyrun.runtime.plan import Plan

ATTACH_VERSION = 1
FRAME_BYTES = 32769
LIBEXEC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "libexec")
_AF_UNIX, _SOCK_SEQPACKET = 1, 5


class Monitor:
    """A connection to a container's monitor: ``fd`` is a SEQPACKET socket, one frame a message."""

    __slots__ = ("fd", "pid", "process")

    def __init__(self, fd: int, process: engine_ns.Process | None) -> None:
        self.fd = fd
        self.process = process
        self.pid = 0

    def receive(self) -> tuple[str, bytes]:
        """Return the next frame: its kind and content; ("", b"") when the monitor is gone."""
        try:
            message = os.read(self.fd, FRAME_BYTES)
        except ConnectionResetError:
            return "", b""
        return chr(message[0]) if message else "", message[1:]

    def send(self, kind: str, content: bytes = b"") -> None:
        """Send a frame."""
        os.write(self.fd, kind.encode() + content)

    def close(self) -> None:
        """Let go; the container goes on."""
        os.close(self.fd)


def start_monitor(
    engine_file: str, engine: EngineMap, job: Job, plan: Plan, *, beside: tuple[int, int] | None = None
) -> Monitor:
    """Start the monitor with its orders; it starts the container at once. ``beside``: as in `engine_ns.spawn_in`."""
    # Without a pid namespace of the container's own its monitor has none either: from below one, neither the user's nor
    # another container's could be entered (setns(2)).
    own_pids = job.clone_flags & engine_ns.CLONE_NEWPID
    # The container's, which hands on what it was given; else the monitor has nothing to say there.
    stdio = (0, 1, 2) if job.flags & PASSTHROUGH else (-1, -1, -1)
    memfd = engine_ns.sealed(job.encode(plan.encode()))
    ours, theirs = _socket.socketpair(_AF_UNIX, _SOCK_SEQPACKET)
    try:
        process = engine_ns.spawn_in(
            engine_file,
            engine,
            [LIBEXEC + "/pyrun-monitor"],
            fds=(*stdio, memfd, theirs.fileno()),
            clone_flags=own_pids,
            remember=True,
            beside=beside,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(memfd)
    return Monitor(ours.detach(), process)


def wait_started(monitor: Monitor, plan: Plan | None, command: str) -> None:
    """Wait until the program has been executed; raises what went wrong otherwise."""
    while True:
        kind, content = monitor.receive()
        if kind == "H" and content[0] != ATTACH_VERSION:
            raise KernelError(f"cannot talk to the monitor: it speaks version {content[0]}")
        if kind == "S":
            monitor.pid = int.from_bytes(content, "little")
            return
        if kind == "F":
            _reap(monitor)
            raise _failure(content, plan, command)
        if kind == "":
            _reap(monitor)
            raise KernelError("cannot start the container: its monitor ended")


def _failure(content: bytes, plan: Plan | None, command: str) -> Exception:
    from pyrun.runtime.failure import RECORD_BYTES, Failure, to_error

    failure = Failure.decode(content[:RECORD_BYTES])
    failure.words = content[RECORD_BYTES:].decode("utf-8", "replace").strip()
    return to_error(failure, plan, command)


def _reap(monitor: Monitor) -> None:
    if monitor.process is not None:
        monitor.process.wait()


def connect(socket_path: str) -> Monitor:
    """Attach to a running container's monitor. Raises OSError where nobody listens."""
    directory = os.open(os.path.dirname(socket_path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = _socket.socket(_AF_UNIX, _SOCK_SEQPACKET)
    try:
        # By descriptor: sun_path holds 107 bytes (unix(7)).
        connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(socket_path)}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(directory)
    return Monitor(connection.detach(), None)
