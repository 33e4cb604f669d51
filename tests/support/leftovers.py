"""Proves that a test has left nothing: no process, mount, descriptor, lock or temporary file.

The test process makes itself a child subreaper (prctl(2)): what a command leaves running becomes a child of ours,
whatever ids it has and however it has daemonised, and /proc/PID/stat may be read of everybody's processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_SECONDS = 30.0


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent has died."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


class Before:
    """What there was before the test: made by `Before()`, compared by `leftovers`."""

    def __init__(self) -> None:
        self.processes = set(_descendants())
        self.mounts = _mounts()
        self.descriptors = _descriptors()

    def leftovers(self, *directories: Path) -> list[str]:
        """Return one line for each thing that is there now and was not; `directories`: a root, a runtime directory."""
        return [
            *_processes_left(self.processes),
            *(f"mount: {line}" for line in sorted(_mounts() - self.mounts)),
            *(f"descriptor: {fd} -> {target}" for fd, target in sorted(_descriptors() - self.descriptors)),
            *_locks(directories),
            *_unfinished(directories),
        ]


def _descendants() -> dict[int, str]:
    """All processes below this one: pid → name."""
    parents: dict[int, tuple[int, str]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                head, _, tail = file.read().rpartition(")")
                parents[int(name)] = (int(tail.split()[1]), head.partition("(")[2])
    found: dict[int, str] = {}
    pending = [os.getpid()]
    while pending:
        parent = pending.pop()
        for pid, (ppid, name) in parents.items():
            if ppid == parent and pid not in found:
                found[pid] = name
                pending.append(pid)
    return found


def _processes_left(before: set[int]) -> list[str]:
    """What is about to die may do so: its pidfd says when (pidfd_open(2)); what does not is left over."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        left = {pid: name for pid, name in _descendants().items() if pid not in before and not _reap(pid)}
        if not left or time.monotonic() > deadline:
            return [f"process: {pid} {name}: {_command(pid)}" for pid, name in sorted(left.items())]
        _wait_for_one(set(left), deadline - time.monotonic())


def _reap(pid: int) -> bool:
    """Take an orphan's exit status; True if the process is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


def _wait_for_one(pids: set[int], seconds: float) -> None:
    poll = select.poll()
    fds = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds.append(os.pidfd_open(pid))
            poll.register(fds[-1], select.POLLIN)
    if len(fds) == len(pids):
        poll.poll(max(0, seconds) * 1000)
    for fd in fds:
        os.close(fd)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace")[:200]
    except OSError:
        return "?"


def _mounts() -> set[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return {" ".join(line.split()[3:]) for line in file}


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target != f"/proc/{os.getpid()}/fd":
                found.add((int(name), target))
    return found


def _locks(directories: tuple[Path, ...]) -> list[str]:
    """/proc/locks names device and inode: proc(5)."""
    paths = {}
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                with contextlib.suppress(OSError):
                    status = os.lstat(os.path.join(parent, name))
                    key = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
                    paths[key] = os.path.join(parent, name)
    with open("/proc/locks", encoding="ascii") as file:
        held = [line.split() for line in file]
    return [f"lock: {paths[words[5]]}" for words in held if len(words) > 5 and words[5] in paths]


# Directories that are empty when nothing is going on (store/layout.py).
_EMPTY = frozenset({"tmp", "trash", "leases", "live", "sock", "ephemeral"})


def _unfinished(directories: tuple[Path, ...]) -> list[str]:
    found = []
    for directory in directories:
        for parent, names, files in os.walk(directory):
            # Layers, blobs and volumes are content: a directory named tmp in them is somebody's data.
            if os.path.basename(parent) in ("layers", "volumes", "containers", "oci"):
                names.clear()
                continue
            if os.path.basename(parent) in _EMPTY:
                found += [f"file: {os.path.join(parent, name)}" for name in sorted([*names, *files])]
                names.clear()
    return found
