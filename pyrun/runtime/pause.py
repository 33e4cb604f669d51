"""A container's processes stopped, and running again.

In a group of cgroup2 where we may make one: the kernel stops them all, and whatever they make, and nothing inside can
undo it. Else by SIGSTOP to each: a process may have armed a timer that sends it SIGCONT (timer_create(2)), and a shell
sees that its jobs were stopped.

The container's file `freezer` says that a pause has begun, of which run of the container, and where; whether it *is*
paused is asked of the kernel (runtime/state.py). Who pauses or continues holds an OFD lock on it.
It must not know what a container is called.
"""

from __future__ import annotations

import _signal
import os
import time

from pyrun.errors import ContainerNotFoundError, KernelError
from pyrun.linux import freezer, processes
from pyrun.runtime.state import pause_begun
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from pyrun.linux.processes import Process
    from pyrun.runtime.state import State

_SIGCONT, _SIGSTOP = 18, 19
_PATIENCE_SECONDS = 10.0
_ROUNDS = 1000
_PREFIX, _SUFFIX = "pyrun-", ".paused"


class Pause:
    """The `freezer` file of one container, locked for the length of a ``with``."""

    __slots__ = ("_directory", "_fd", "_id", "_kind", "group", "pid", "starttime", "were_stopped")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._id = directory.rpartition("/")[2]
        self._kind = ""
        self._fd = -1
        self._forget()

    def _forget(self) -> None:
        self.pid = self.starttime = 0
        self.group = ""
        self.were_stopped: set[tuple[int, int]] = set()

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self._directory + "/freezer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise ContainerNotFoundError(self._id[:12]) from None
        fsio.lock(self._fd, exclusive=True)
        self._read()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def stop(self, now: State) -> None:
        """Stop all processes of the running container; they go on if that cannot be done.

        Raises: KernelError.
        """
        if self.pid:
            self.resume()  # one that was killed half-way
        self.pid, self.starttime = now.pid, now.starttime
        try:
            if not self._freeze():
                self._stop_each()
            os.utime(self._fd)  # tells who waits for it (inotify) that it is paused by now
        except BaseException:
            self.resume()
            raise

    def stop_newcomers(self) -> None:
        """Stop what has been started from outside since; nothing where no pause has begun."""
        if not self._is_same_run():
            return
        if self.group:
            self._gather()
        else:
            self._stop_running()

    def resume(self) -> None:
        """Let them all run again, also after a pause that was killed half-way; forget it."""
        if self.group:
            try:
                freezer.thaw(self.group)
            except OSError:
                pass  # gone, and with it what was in it
            freezer.dissolve(self.group)
        elif self._is_same_run():
            for process in self._members():
                if process.state in "Tt" and (process.pid, process.starttime) not in self.were_stopped:
                    _send(process, _SIGCONT)
        self.clear()

    def _is_same_run(self) -> bool:
        process = processes.read(self.pid) if self.pid else None
        return process is not None and process.starttime == self.starttime

    def clear(self) -> None:
        """Forget a pause of which no process is left."""
        if self.group:
            freezer.remove(self.group)
        self._forget()
        os.ftruncate(self._fd, 0)

    def _members(self) -> list[Process]:
        if not self._kind:
            from pyrun.runtime import members

            self._kind = members.namespace_of(self._directory)
        return processes.Table(self._kind).members(self.pid)

    def _freeze(self) -> bool:
        """Move all processes to a group and freeze it; False where that may not be done: then nothing has happened."""
        parent = freezer.group_of(self.pid)
        if not parent or not freezer.may_divide(parent):
            return False
        self.group = f"{parent}/{_PREFIX}{self._id}{_SUFFIX}"
        self._write()
        self._remove_deserted(parent)
        try:
            freezer.make(self.group)
            self._gather()
            if freezer.freeze(self.group, _PATIENCE_SECONDS):
                return True
        except OSError:
            freezer.dissolve(self.group)
            self.group = ""
            return False
        raise KernelError("its processes do not stop", hint="one may be waiting for a disk or a network file system")

    def _remove_deserted(self, parent: str) -> None:
        """Remove the groups of containers that were killed from outside while they were paused."""
        for name in os.listdir(parent):
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                freezer.remove(f"{parent}/{name}")  # one that is in use cannot be removed

    def _gather(self) -> None:
        for _ in range(_ROUNDS):
            found = self._members()
            # In this order: whom one inside makes in between is inside, and whom one outside makes comes next time.
            inside = set(freezer.processes(self.group))
            outside = [process.pid for process in found if process.pid not in inside]
            if not outside:
                return
            freezer.move(outside, self.group)
        raise KernelError("its processes make others faster than they can be stopped")

    def _stop_each(self) -> None:
        found = self._members()
        self.were_stopped = {(process.pid, process.starttime) for process in found if process.state in "Tt"}
        self._write()
        self._stop_running()

    def _stop_running(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            going = [process for process in self._members() if process.state not in "Tt"]
            if not going:
                return
            if time.monotonic() > deadline:
                raise KernelError(f"process {going[-1].pid} does not stop")
            # The first one last: that it is stopped tells that all are (runtime/state.py).
            for process in going[1:] or going:
                _send(process, _SIGSTOP)
            time.sleep(0.001)  # there is nothing to wait on: only a parent is told that its child has stopped

    def _read(self) -> None:
        lines = os.pread(self._fd, 1 << 20, 0).decode("utf-8", "surrogateescape").split("\n")
        words = lines[0].split(" ", 2)
        if len(words) == 3:
            self.pid, self.starttime, self.group = int(words[0]), int(words[1]), words[2]
            pairs = (line.split(" ") for line in lines[1:] if line)
            self.were_stopped = {(int(pid), int(starttime)) for pid, starttime in pairs}

    def _write(self) -> None:
        lines = [f"{self.pid} {self.starttime} {self.group}", *(f"{p} {s}" for p, s in sorted(self.were_stopped))]
        os.ftruncate(self._fd, 0)
        try:
            os.pwrite(self._fd, ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"), 0)
        except OSError as error:
            error.filename = f"{self._directory}/freezer"
            raise


def home_of(group: str) -> str:
    """Return the group that a container's processes are in when it is not paused, from the one that they are in."""
    parent, _, name = group.rpartition("/")
    return parent if name.startswith(_PREFIX) and name.endswith(_SUFFIX) else group


def resume(directory: str) -> None:
    """Let a container's processes run, if a pause of them has begun; a container that is gone is fine."""
    if not pause_begun(directory):
        return
    try:
        with Pause(directory) as pause:
            pause.resume()
    except ContainerNotFoundError:
        return


def stop_newcomers(directory: str) -> None:
    """Stop what has come into a container while it was being paused: an `exec` that had looked before."""
    with Pause(directory) as pause:
        pause.stop_newcomers()


def _send(process: Process, number: int) -> None:
    fd = processes.open_pidfd(process)
    if fd < 0:
        return
    try:
        _signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)
