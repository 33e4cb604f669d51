"""A terminal, or a pair of pipes, attached to a container through its monitor's socket.

It must not know how the container was started. ``_signal`` and ``select`` are C modules: ``signal`` would import enum
(6 ms).
"""

from __future__ import annotations

import _signal
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.engine.detach_keys import Detacher
    from pyrun.runtime.launch import Monitor

_CHUNK = 16384
_EIO, _EPIPE = 5, 32
_SIGWINCH = 28
_SIGHUP, _SIGQUIT, _SIGTERM = 1, 3, 15
# docker hands on all but CHLD, PIPE and URG. Not here either what is a fault of our own (ILL TRAP BUS FPE SEGV), what
# stops a job that reads the terminal in the background (TTIN TTOU), what cannot be caught, and glibc's own 32 and 33.
_KEPT = (4, 5, 7, 8, 9, 11, 13, 17, 19, 21, 22, 23, 32, 33)
_PROXIED = [number for number in range(1, 65) if number not in _KEPT]
_POLLIN, _POLLOUT, _POLLHUP = 1, 4, 16


class RawTerminal:
    """The caller's terminal in raw mode for the length of a ``with``; nothing where ``fd`` is none.

    A signal that ends us gives the terminal back first.
    """

    __slots__ = ("_caught", "_fd", "_saved")

    def __init__(self, fd: int) -> None:
        self._caught: list[int] = []
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> RawTerminal:
        import termios

        if os.isatty(self._fd):
            self._saved = termios.tcgetattr(self._fd)
            raw = termios.tcgetattr(self._fd)
            # cfmakeraw(3): no echo, no line editing, no signals from keys: those are the container's.
            raw[0] &= ~(
                termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR
                | termios.ICRNL | termios.IXON
            )  # fmt: skip
            raw[1] &= ~termios.OPOST
            raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
            for number in (_SIGHUP, _SIGQUIT, _SIGTERM):
                if _signal.getsignal(number) == _signal.SIG_DFL:
                    self._caught.append(number)
                    _signal.signal(number, self._end)
            termios.tcsetattr(self._fd, termios.TCSANOW, raw)
        return self

    def __exit__(self, *_: object) -> None:
        import termios

        if self._saved is not None:
            try:
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
            except termios.error:
                pass  # EIO: it has been closed
        for number in self._caught:
            _signal.signal(number, _signal.SIG_DFL)

    def _end(self, number: int, frame: object) -> None:
        self.__exit__()
        os.kill(os.getpid(), number)


def window_size(fd: int) -> tuple[int, int]:
    """Return rows and columns of the terminal ``fd``; 0, 0 if it is none."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return rows, columns


def console_size() -> dict[str, int]:
    """Return the size of the caller's terminal as the OCI runtime-spec's process has it, 0 if there is none."""
    rows, columns = window_size(0)
    if not rows:
        rows, columns = window_size(1)
    return {"height": rows, "width": columns}


_OUTPUTS = (("O", 1, "stdout"), ("E", 2, "stderr"))


class Attachment:
    """Pumps between the caller's descriptors and a monitor until exit or detach.

    Nothing waits for the monitor to take what is sent: while the container's input is full, its output must still be
    read. ``redraws``: what draws on the terminal shall draw it all for us, who have not seen it yet.
    """

    __slots__ = (
        "_detacher", "_due", "_ends_with_input", "_is_raw", "_monitor", "_outputs", "_redraws", "_stdin_open", "_tty",
        "_tty_gone", "exit_code",
    )  # fmt: skip

    def __init__(
        self, monitor: Monitor, *, stdin: bool, tty: bool, detach_keys: bytes, streams: tuple[str, ...],
        redraws: bool = False,
    ) -> None:  # fmt: skip
        self._monitor = monitor
        self._tty = tty
        self._is_raw = False
        self._tty_gone = False
        self._stdin_open = stdin
        self._redraws = redraws
        self._due: list[tuple[str, bytes]] = []  # frames to be sent, in this order
        self._detacher: Detacher | None = None
        if tty:
            from pyrun.engine.detach_keys import Detacher

            self._detacher = Detacher(detach_keys)
        self._outputs = {kind: fd for kind, fd, name in _OUTPUTS if name in streams}
        self._ends_with_input = not self._outputs
        self.exit_code: int | None = None
        os.set_blocking(monitor.fd, False)

    def run(self) -> int | None:
        """Return the exit code; None after the detach keys or when the monitor went away."""
        with window_changes(self._window_changed if self._tty else None):
            if self._tty and self._stdin_open:
                self._is_raw = os.isatty(0)
                with RawTerminal(0):
                    self._loop()
            else:
                self._loop()
        return self.exit_code

    @property
    def is_detached(self) -> bool:
        """Whether the detach keys were typed, our terminal was closed, or all to be done was to give the input."""
        if self._tty_gone or (self._detacher is not None and self._detacher.is_detached):
            return True
        return self._ends_with_input and not self._stdin_open and not self._due

    def _loop(self) -> None:
        poll = select.poll()
        while self.exit_code is None and not self.is_detached:
            poll.register(self._monitor.fd, _POLLIN | (_POLLOUT if self._due else 0))
            reads = self._stdin_open and not self._due
            if reads:
                poll.register(0, _POLLIN)
            ready = dict(poll.poll())
            if reads:
                poll.unregister(0)
                if 0 in ready:
                    self._read_input()
            self._send_due()
            if ready.get(self._monitor.fd, 0) & (_POLLIN | _POLLHUP) and not self._read_frame():
                return

    def _read_input(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data and self._is_raw:  # EIO, or the end of what is in raw mode: it has been closed
            self._tty_gone = True
        elif not data:
            self._stdin_open = False
            self._due.append(("C", b""))
        elif text := data if self._detacher is None else self._detacher.feed(data):
            self._due.append(("I", text))

    def _send_due(self) -> None:
        try:
            while self._due:
                self._monitor.send(*self._due[0])
                self._due.pop(0)
        except BlockingIOError:
            return  # poll(2) tells when there is room
        except (BrokenPipeError, ConnectionResetError):
            self._due.clear()  # it has ended; the exit code is still to be read
            self._stdin_open = False

    def _read_frame(self) -> bool:
        kind, content = self._monitor.receive()
        if kind in self._outputs:
            self._write(kind, content)
        elif kind == "X":
            self.exit_code = int.from_bytes(content, "little")
        return kind != ""

    def _write(self, kind: str, content: bytes) -> None:
        fd = self._outputs[kind]
        try:
            while content:
                try:
                    content = content[os.write(fd, content) :]
                except BlockingIOError:  # who shares it with us has made it so
                    select.select([], [fd], [])
        except OSError as error:
            if error.errno == _EIO and self._tty:
                self._tty_gone = True
            elif error.errno != _EPIPE:
                raise
            # The reader went (`| head`): the container goes on, its output into the log only.
            del self._outputs[kind]

    def _window_changed(self) -> None:
        rows, columns = window_size(0)
        if not rows:
            rows, columns = window_size(1)
        if not rows:
            return  # no terminal of ours: others may have one
        if self._redraws:
            # As docker: a program that has drawn for others draws anew only when the size has changed.
            self._redraws = False
            self._due.append(_window_frame(rows + 1, columns + 1))
        self._due.append(_window_frame(rows, columns))
        self._send_due()


def _window_frame(rows: int, columns: int) -> tuple[str, bytes]:
    return "W", rows.to_bytes(2, "little") + columns.to_bytes(2, "little")


class window_changes:  # noqa: N801 (used as a function)
    """SIGWINCH calls ``changed`` for the length of a ``with``."""

    __slots__ = ("_changed",)

    def __init__(self, changed: Callable[[], None] | None) -> None:
        self._changed = changed

    def __enter__(self) -> None:
        changed = self._changed
        if changed is not None:
            _signal.signal(_SIGWINCH, lambda number, frame: changed())
            changed()

    def __exit__(self, *_: object) -> None:
        if self._changed is not None:
            _signal.signal(_SIGWINCH, _signal.SIG_DFL)


class SignalProxy:
    """Hands the caller's signals to the process ``pidfd`` for the length of a ``with``."""

    __slots__ = ("_pidfd", "_saved")

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._saved: list[tuple[int, Any]] = []

    def __enter__(self) -> SignalProxy:
        if self._pidfd >= 0:
            # What the caller has us ignore (nohup(1), a script's `&`) stays ignored.
            wanted = [number for number in _PROXIED if _signal.getsignal(number) != _signal.SIG_IGN]
            self._saved = [(number, _signal.signal(number, self._forward)) for number in wanted]
        return self

    def _forward(self, number: int, frame: object) -> None:
        try:
            _signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return  # it has just ended; the exit code is on its way

    def __exit__(self, *_: object) -> None:
        for number, handler in self._saved:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
