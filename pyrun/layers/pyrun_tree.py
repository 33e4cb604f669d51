"""The helper program pyrun-tree: where it is, how it is started, what it reports.

It must not know images or the store. The wire format of reports is described in native/tree/report.c.
"""

from __future__ import annotations

import errno
import os

from pyrun.errors import PyrunError, StorageFullError, SyscallError, UnsafeLayerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Process(Protocol):
        """A started helper."""

        pid: int

        def wait(self) -> int:
            """Wait for its end; return the exit status."""

    class Spawn(Protocol):
        """Starts a program. ``stdin_fd`` becomes its input (-1: /dev/null), ``stdout_fd`` its output."""

        def __call__(
            self, argv: Sequence[str], stdin_fd: int, pass_fds: Sequence[int], /, *, stdout_fd: int = 1
        ) -> Process: ...


def program() -> str:
    """Return the path of pyrun-tree."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/libexec/pyrun-tree"


class _Child:
    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def spawn_here(argv: Sequence[str], stdin_fd: int, pass_fds: Sequence[int], *, stdout_fd: int = 1) -> Process:
    """Start a program in the caller's namespaces."""
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    if stdin_fd < 0:
        actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    else:
        actions.append((os.POSIX_SPAWN_DUP2, stdin_fd, 0))
    if stdout_fd != 1:
        actions.append((os.POSIX_SPAWN_DUP2, stdout_fd, 1))
    # posix_spawn(3): a dup2 of a descriptor to itself clears FD_CLOEXEC, since glibc 2.29.
    actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in pass_fds]
    return _Child(os.posix_spawn(argv[0], list(argv), os.environ, file_actions=actions))


class Report:
    """What pyrun-tree said: counters, and the error if there was one."""

    __slots__ = ("values",)

    def __init__(self, data: bytes) -> None:
        words = data.split(b"\0")
        self.values = {words[i].decode("ascii", "replace"): words[i + 1] for i in range(0, len(words) - 1, 2)}

    def number(self, key: str) -> int:
        """Return a counter, 0 if it is not reported."""
        return int(self.values.get(key, b"0"))

    def text(self, key: str) -> str:
        """Return a text, "" if it is not reported. Bytes that are no UTF-8 become surrogates, as in file names."""
        return os.fsdecode(self.values.get(key, b""))

    @property
    def failed(self) -> bool:
        """Whether it reported an error."""
        return "error" in self.values


def read_report(fd: int) -> Report:
    """Read a report to its end. The helper must have ended, and no one else hold the write end."""
    data = bytearray()
    while piece := os.read(fd, 65536):
        data += piece
    return Report(bytes(data))


def failure(report: Report, status: int, *, layer: str, path: str) -> PyrunError:
    """Return the error that a helper which ended with ``status`` deserves.

    ``layer`` names the layer in messages ("" when no archive is involved), ``path`` the directory written to.
    """
    kind, number = report.text("error"), report.number("errno")
    entry, reason = report.text("entry"), report.text("reason")
    if kind in ("unsafe", "limit"):
        return UnsafeLayerError(layer, entry, reason)
    if kind == "full":
        what = "disk quota is exceeded" if number == errno.EDQUOT else "no space left on device"
        return StorageFullError(
            f"cannot write {layer or path}: {entry}: {what}",
            path=path,
            hint="free space, or move the store with --root",
        )
    if kind == "system":
        return SyscallError(
            f"cannot write {layer or path}: {entry}: {reason}", syscall=report.text("syscall"), errno=number, path=entry
        )
    signal = -status if status < 0 else status - 128
    ended = f"was killed by signal {signal}" if signal > 0 else f"ended with {status}"
    return SyscallError(f"cannot write {layer or path}: pyrun-tree {ended}", syscall="wait", errno=0, path=path)


def run(arguments: Sequence[str], *, spawn: Spawn, pass_fds: Sequence[int] = (), stdin: bytes | None = None,
        what: str = "", program_path: str | None = None) -> Report:  # fmt: skip
    """Run one verb to its end and return its report.

    Raises:
        UnsafeLayerError, StorageFullError, SyscallError: what the helper reported.
    """
    stdin_fd = -1 if stdin is None else memory_file(stdin)
    try:
        job = Job(arguments, spawn=spawn, pass_fds=pass_fds, stdin_fd=stdin_fd, program_path=program_path)
    finally:
        if stdin_fd >= 0:
            os.close(stdin_fd)
    report, status = job.wait()
    if status != 0:
        raise failure(report, status, layer="", path=what)
    return report


class Job:
    """One verb at work. ``stdin_fd`` (-1: nothing to read) and ``stdout_fd`` stay the caller's to close."""

    __slots__ = ("_process", "_report")

    def __init__(
        self, arguments: Sequence[str], *, spawn: Spawn, pass_fds: Sequence[int] = (), stdin_fd: int = -1,
        stdout_fd: int = 1, program_path: str | None = None,
    ) -> None:  # fmt: skip
        self._report, report_end = os.pipe2(os.O_CLOEXEC)
        argv = [program_path or program(), arguments[0], "--report-fd", str(report_end), *arguments[1:]]
        try:
            self._process = spawn(argv, stdin_fd, [*pass_fds, report_end], stdout_fd=stdout_fd)
        except BaseException:
            os.close(self._report)
            raise
        finally:
            os.close(report_end)

    def wait(self) -> tuple[Report, int]:
        """Wait for the end; return what it reported and its exit status."""
        try:
            report = read_report(self._report)
        finally:
            os.close(self._report)
            status = self._process.wait()
        return report, status


def memory_file(data: bytes) -> int:
    """Return a descriptor from which a helper reads ``data``."""
    fd = os.memfd_create("pyrun-tree-input", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
