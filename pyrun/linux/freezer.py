"""The freezer of cgroup2: a group whose processes the kernel stops, and whatever they make.

It must not know containers. It works with no right but to write in the group where the processes are (delegation).
Source: cgroup-v2.rst "Core Interface Files", cgroup.freeze, since Linux 5.2; "Delegation Containment".
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_ENDING_SECONDS = 10.0  # on a busy machine the end of a process takes more than one
_ROUND_SECONDS = 0.02


def group_of(pid: int) -> str:
    """Return the directory of the group that a process is in; "" where we do not see it."""
    try:
        path = next(line[3:] for line in _lines(f"/proc/{pid}/cgroup") if line.startswith("0::"))
        mounts = [line.split(" ") for line in _lines("/proc/self/mountinfo") if " - cgroup2 " in line]
    except (OSError, StopIteration):
        return ""
    for fields in mounts:
        root, mount_point = fields[3].rstrip("/"), fields[4]
        if path == root or path.startswith(root + "/"):
            directory = mount_point + path[len(root) :].rstrip("/")
            if os.path.exists(f"{directory}/cgroup.freeze"):
                return directory
    return ""


def may_divide(directory: str) -> bool:
    """Whether we may make groups in a group and move its processes to them: both are asked of the one above both."""
    return os.access(directory, os.W_OK) and os.access(f"{directory}/cgroup.procs", os.W_OK)


def make(directory: str) -> None:
    """Make a group; one that is there is fine."""
    try:
        os.mkdir(directory)
    except FileExistsError:
        return


def processes(directory: str) -> list[int]:
    """Return the pids in a group."""
    return [int(line) for line in _lines(f"{directory}/cgroup.procs")]


def all_processes(directory: str) -> list[int]:
    """Return the pids in a group and in those below it."""
    found = []
    for path, _, _ in os.walk(directory):
        try:
            found += processes(path)
        except OSError:
            continue  # gone, or threaded: then its processes are listed above
    return found


def move(pids: Iterable[int], directory: str) -> None:
    """Move processes, each with all its threads; one that has ended is passed over. Raises: OSError."""
    fd = os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        for pid in pids:
            try:
                os.write(fd, str(pid).encode())
            except ProcessLookupError:
                continue
    finally:
        os.close(fd)


def freeze(directory: str, seconds: float) -> bool:
    """Stop all processes of a group and wait until they are; False if one does not within ``seconds``."""
    _write(f"{directory}/cgroup.freeze", b"1")
    return _wait_for(directory, b"frozen 1", seconds)


def _wait_for(directory: str, line: bytes, seconds: float) -> bool:
    """Wait until the group's events say so; False if they do not within ``seconds``. Raises: OSError."""
    deadline = time.monotonic() + seconds
    events_fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        poll = select.poll()
        # A change of the file is told by POLLPRI to who has read it since the last one.
        poll.register(events_fd, select.POLLPRI)
        while line not in os.pread(events_fd, 4096, 0):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poll.poll(left * 1000)
    finally:
        os.close(events_fd)
    return True


def thaw(directory: str) -> None:
    """Let the processes of a group run."""
    _write(f"{directory}/cgroup.freeze", b"0")


def dissolve(directory: str) -> None:
    """Move what is in a group to the one above and remove it; where that is refused, they stay: it is but a place."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while time.monotonic() < deadline:
        remove(directory)
        try:
            move(processes(directory), directory.rpartition("/")[0])
            # One that is ending cannot be moved, listed or not, and keeps the group in use until it gets a processor.
            _wait_for(directory, b"populated 0", _ROUND_SECONDS)
        except OSError:
            return


def remove(directory: str) -> None:
    """Remove a group; one that is in use, or gone, is left."""
    try:
        os.rmdir(directory)
    except OSError:
        return


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()
