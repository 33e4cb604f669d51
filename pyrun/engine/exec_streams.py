"""Standard streams of an ``exec``.

Pipes, sockets and /dev/null are handed over as they are. A terminal or a file of the caller's is not: through a
terminal the container could type into the caller's shell (TIOCSTI), a file it could open again with other rights
through /proc/self/fd. Those are pumped.
"""

from __future__ import annotations

import os
import select
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.engine.detach_keys import Detacher
    from pyrun.runtime.engine_ns import Process

_CHUNK = 65536
_EIO = 5
_POLLIN, _POLLOUT = 1, 4
_TIOCSWINSZ = 0x5414


class Streams:
    """``child``: the descriptors for the process, -1 where it gets a console."""

    __slots__ = ("_detacher", "_master", "_pairs", "_stdin", "_theirs", "_tty_gone", "child", "detached", "tty")

    def __init__(self, *, interactive: bool, tty: bool, detached: bool, detach_keys: bytes) -> None:
        self.tty = tty
        self.detached = detached
        self._master = -1
        self._tty_gone = False
        self._theirs: list[int] = []
        self._stdin = -1  # our end of its standard input, where that is pumped
        self._pairs: dict[int, int] = {}  # what to read -> where to write it
        self._detacher: Detacher | None = None
        if tty:
            from pyrun.engine.detach_keys import Detacher

            self._detacher = Detacher(detach_keys)
        self.child = [-1, -1, -1]
        if detached or not tty:
            self.child = [
                self._input(interactive and not detached),
                self._output(1, detached),
                self._output(2, detached),
            ]
            if detached and tty:
                self.child = [-1, -1, -1]
        elif interactive:
            self._stdin = -2  # the console, once it is there

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self.started()
        for fd in (*self._pairs, self._stdin, self._master):
            if fd > 2:
                try:
                    os.close(fd)
                except OSError:
                    continue
        self._pairs = {}

    def started(self) -> None:
        """Close what only the process needs."""
        for fd in self._theirs:
            os.close(fd)
        self._theirs = []

    def take_console(self, master_fd: int) -> None:
        """Pump the console from now on; takes ownership of its master."""
        self._master = master_fd
        self._pairs[master_fd] = 1
        if self._stdin == -2:
            self._stdin = master_fd

    def _input(self, wanted: bool) -> int:
        if not wanted:
            return self._null(os.O_RDONLY)
        if _may_be_shared(0):
            return 0
        theirs, self._stdin = os.pipe()
        self._theirs.append(theirs)
        return theirs

    def _output(self, fd: int, detached: bool) -> int:
        if detached:
            return self._null(os.O_WRONLY)
        if _may_be_shared(fd):
            return fd
        ours, theirs = os.pipe()
        self._theirs.append(theirs)
        self._pairs[ours] = fd
        return theirs

    def _null(self, flags: int) -> int:
        fd = os.open("/dev/null", flags | os.O_CLOEXEC)
        self._theirs.append(fd)
        return fd

    def pump(self, process: Process) -> int:
        """Pump until the process ends; return its exit code (128 + signal), or 0 after the detach keys."""
        pidfd = os.pidfd_open(process.pid)
        try:
            if self.tty and self._stdin >= 0:
                from pyrun.engine.terminal import RawTerminal, window_changes

                with window_changes(self._resize), RawTerminal(0):
                    self._loop(pidfd)
            else:
                self._loop(pidfd)
        finally:
            os.close(pidfd)
        return 0 if self.is_detached else process.wait()

    @property
    def is_detached(self) -> bool:
        """Whether the detach keys have been typed, or our terminal was closed: what runs on the console goes on."""
        return self._tty_gone or (self._detacher is not None and self._detacher.is_detached)

    def _resize(self) -> None:
        import fcntl

        from pyrun.engine.terminal import window_size

        rows, columns = window_size(0)
        fcntl.ioctl(self._master, _TIOCSWINSZ, rows.to_bytes(2, "little") + columns.to_bytes(2, "little") + bytes(4))

    def _loop(self, pidfd: int) -> None:
        pending = b""
        while not self.is_detached:
            poll = select.poll()
            poll.register(pidfd, _POLLIN)
            for fd in self._pairs:
                poll.register(fd, _POLLIN)
            reading = self._stdin >= 0 and not pending
            if reading:
                poll.register(0, _POLLIN)
            elif self._stdin >= 0:
                # A console's master is read as well, until its last slave is closed.
                poll.register(self._stdin, _POLLOUT | (_POLLIN if self._stdin in self._pairs else 0))
            events = dict(poll.poll())
            ready = {fd for fd, found in events.items() if found & ~_POLLOUT}
            for fd in [fd for fd in self._pairs if fd in ready]:
                self._copy_output(fd)
            if reading and 0 in ready:
                pending = self._read_input()
            elif pending and events.get(self._stdin, 0):
                pending = self._write_input(pending)
            if pidfd in ready:
                self._drain()
                return

    def _drain(self) -> None:
        """What the pipes still hold; not until EOF, as a background process may keep them open."""
        for fd in list(self._pairs):
            while fd in self._pairs and select.select([fd], [], [], 0)[0]:
                self._copy_output(fd)

    def _copy_output(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except OSError:
            data = b""  # EIO: the last slave of the pty was closed
        target = self._pairs[fd]
        if not data:
            del self._pairs[fd]
            if fd != self._master:
                os.close(fd)
            return
        while data:
            try:
                data = data[os.write(target, data) :]
            except BlockingIOError:  # who shares it with us has made it so
                select.select([], [target], [])
            except OSError as error:
                if not (self.tty and error.errno == _EIO):
                    raise
                self._tty_gone, data = True, b""

    def _read_input(self) -> bytes:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if data:
            return data if self._detacher is None else self._detacher.feed(data)
        if self.tty:  # EIO, or the end of what is in raw mode: it has been closed
            self._tty_gone = True
            return b""
        if self._stdin != self._master:
            os.close(self._stdin)
        self._stdin = -1
        return b""

    def _write_input(self, pending: bytes) -> bytes:
        try:
            # A pipe that poll(2) calls writable takes PIPE_BUF bytes without blocking: pipe(7).
            return pending[os.write(self._stdin, pending[:4096]) :]
        except OSError:
            if self._stdin != self._master:
                os.close(self._stdin)
            self._stdin = -1
            return b""


def _may_be_shared(fd: int) -> bool:
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode):
        return True
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)
