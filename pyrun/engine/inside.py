"""A container's file system as `cp` works on it: one mount tree of its root and what the user mounted there.

Of a running container it is what it sees itself, tmpfs included; of another one, its root and its volumes. /proc, /sys,
/dev are not in it. It is a descriptor that only the store's helper uses (native/tree/view.c), in the engine namespace:
no path of the container is ever looked up from outside of the tree. It must not know what is copied.
"""

from __future__ import annotations

import errno
import os
import socket

from pyrun.engine import contents, lifecycle, namespace
from pyrun.errors import ContainerNotFoundError, FeatureMissingError, SyscallError, WrongStatusError
from pyrun.layers import pyrun_tree
from pyrun.runtime import compile as compiler
from pyrun.runtime import engine_ns, state
from pyrun.runtime import plan as p
from pyrun.runtime.plan import Plan
from pyrun.store import containers, fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from pyrun.runtime.engine_ns import Process
    from pyrun.store.layout import Layout

_CLONE_NEWNS = 0x00020000
_NOT_COPIED = ("/proc", "/sys", "/dev")


class Inside:
    """The tree of one container, for the length of a ``with``. ``fd`` is its root.

    A container that does not run cannot be started meanwhile: its start waits.
    Raises: ContainerNotFoundError; WrongStatusError while it is being started; SyscallError.
    """

    __slots__ = ("_beside", "_fuse", "_layout", "_lock", "_userns", "config", "directory", "fd", "record", "rootfs")

    def __init__(self, layout: Layout, name: str) -> None:
        _, self.directory = containers.resolve(layout, name)
        self.record = containers.load(self.directory)
        self.config = containers.load_file(self.directory, "config.json")
        self.rootfs = containers.load_file(self.directory, "rootfs.json")
        self.fd = -1
        self._layout = layout
        self._fuse: Process | None = None
        self._lock: fsio.FileLock | None = None
        self._userns = -1
        self._beside: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        try:
            if not self._enter_running():
                self._lock = fsio.FileLock(containers.copying(self.directory), exclusive=True)
                try:
                    self._lock.__enter__()
                except FileNotFoundError:
                    raise ContainerNotFoundError(self.record["name"]) from None
                # Another start may have been before the lock.
                if not self._enter_running():
                    self._enter_stopped()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self.fd, self._userns):
            if fd >= 0:
                os.close(fd)
        self.fd = self._userns = -1
        if self._fuse is not None:
            # The last mount went with the descriptor: it writes what it has and ends.
            self._fuse.wait()
            self._fuse = None
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None

    def start(self, verb: str, *arguments: str, stdin_fd: int = -1, stdout_fd: int = 1) -> pyrun_tree.Job:
        """Start a helper that works on the tree."""
        fds = [self.fd]
        words = [*arguments]
        if self._userns >= 0:
            fds.append(self._userns)
            words += ["--userns-fd", str(self._userns)]
        return pyrun_tree.Job(
            [verb, *words],
            spawn=namespace.spawner(self._layout, beside=self._beside),
            pass_fds=fds,
            stdin_fd=stdin_fd,
            stdout_fd=stdout_fd,
        )

    def id_maps(self, *, inwards: bool = False) -> list[str]:
        """Return the arguments that turn owners as a helper sees them into the container's, or (``inwards``) back."""
        return [] if self._userns >= 0 else contents.id_maps(self.config, inwards=inwards)

    def root_ids(self) -> str:
        """Return UID:GID of the container's root as a helper sees it; 0 where there is none."""
        if self._userns >= 0:
            return "0:0"
        ids = []
        for field in ("uidMappings", "gidMappings"):
            extents = self.config["linux"].get(field) or ()
            ids.append(next((str(item["hostID"]) for item in extents if item["containerID"] == 0), "0"))
        return ":".join(ids)

    def look(self, path: str, *, follow: bool) -> pyrun_tree.Report:
        """Return what is at a path: see native/tree/look.c."""
        follows = ["--follow"] if follow else []
        report, status = self.start("look", "--root-fd", str(self.fd), "--path", path, *follows).wait()
        if status != 0:
            raise pyrun_tree.failure(report, status, layer="", path=path)
        return report

    def mounts(self) -> Iterator[dict[str, Any]]:
        """Give the mounts that are part of it."""
        for mount in self.config["mounts"]:
            where = mount["destination"]
            if not any(where == path or where.startswith(path + "/") for path in _NOT_COPIED):
                yield mount

    def _enter_running(self) -> bool:
        now = state.status(self.directory)
        pidfd = lifecycle.open_process(now.pid, now.starttime) if now.pid else -1
        if pidfd < 0:
            return False
        self._beside = now.monitor, now.monitor_starttime
        try:
            wanted = [word for mount in self.mounts() for word in ("--mount", mount["destination"])]
            is_fuse = "fuse" in self.rootfs
            self._view(["--pidfd", str(pidfd), "--root", "fuse" if is_fuse else "", *wanted], pidfd, None)
            # FUSE serves only the namespace that it was mounted in, and no file system makes a file of an owner whom
            # its own namespace does not know.
            if is_fuse or compiler.lacks_user(self.config):
                self._userns = os.open(f"/proc/{now.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(pidfd)
        return True

    def _enter_stopped(self) -> None:
        if state.is_locked(self.directory):
            raise WrongStatusError("copy files of", self.record["name"], "being started", hint="try again")
        plan = Plan()
        compiler.add_root(plan, {**self.rootfs, "volatile": False}, self.directory + "/rootfs")
        for mount in self.mounts():
            if mount["type"] == "bind":
                compiler.add_mount(plan, mount)
        if self.rootfs["readonly"]:
            plan.add(p.OP_ROOT_READONLY)
        plan_fd = pyrun_tree.memory_file(plan.encode())
        try:
            self._view(["--plan-fd", str(plan_fd)], plan_fd, plan)
        except SyscallError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                error.hint = "free some space; `pyrun export` gets the files of a container out without any"
            raise
        finally:
            os.close(plan_fd)

    def _view(self, arguments: list[str], fd: int, plan: Plan | None) -> None:
        at = self.rootfs.get("tree", self.directory + "/rootfs")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                job = pyrun_tree.Job(
                    ["view", "--at", at, "--socket-fd", str(theirs.fileno()), *arguments],
                    spawn=namespace.spawner(self._layout, clone_flags=_CLONE_NEWNS, beside=self._beside),
                    pass_fds=[fd, theirs.fileno()],
                )
            try:
                self._receive(ours)
            finally:
                report, status = job.wait()
        if status != 0:
            raise _failure(report, status, plan, at)

    def _receive(self, ours: socket.socket) -> None:
        while True:
            kind, fds, _, _ = socket.recv_fds(ours, 1, 1)
            if kind == b"V":
                self.fd = fds[0]
                return
            if not fds:
                return  # it has ended, and its report says why
            try:
                self._fuse = _start_fuse(self._layout, self.rootfs, fds[0])
            finally:
                os.close(fds[0])


def _start_fuse(layout: Layout, rootfs: dict[str, Any], device: int) -> Process:
    """Start fuse-overlayfs on a device that is mounted already, as the monitor does (native/monitor/fuse.c)."""
    options = compiler.fuse_options({**rootfs, "volatile": False})
    argv = [rootfs["fuse"], "-f", "-o", options, "/dev/fd/3"]
    return engine_ns.spawn_in(layout.engine, engine_ns.engine_map(), argv, fds=(-1, -1, -1, device))


def _failure(report: pyrun_tree.Report, status: int, plan: Plan | None, path: str) -> Exception:
    if plan is None or "step" not in report.values:
        if report.text("syscall") == "setns" and report.number("errno") == 3:
            return WrongStatusError("copy files of", path, "not running any more", hint="try again")
        if report.text("syscall") in ("open_tree", "move_mount") and report.number("errno") == 38:
            return FeatureMissingError("cp", "the kernel has no open_tree(2): it is older than 5.2")
        return pyrun_tree.failure(report, status, layer="", path=path)
    from pyrun.runtime.failure import Failure, to_error

    failed = Failure(report.number("step"), report.number("op"), report.number("errno"), report.text("syscall"))
    return to_error(failed, plan, "")
