"""A terminal, or a pair of pipes, attached to a container through its monitor's socket.

It must not know how the container was started. Signals are handed on as docker does (all but CHLD, PIPE, URG and
what cannot be caught). ``_signal`` and ``select`` are C modules: ``signal`` would import enum (6 ms).
"""

from __future__ import annotations

import _signal
import os
import select

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.runtime.launch import Monitor

_CHUNK = 16384
_SIGWINCH = 28
# HUP INT QUIT USR1 USR2 TERM CONT and the rest that a person or a job scheduler sends.
_PROXIED = (1, 2, 3, 10, 12, 15, 18, 24, 30)
_POLLIN, _POLLOUT, _POLLHUP = 1, 4, 16


def parse_detach_keys(text: str | None) -> bytes:
    """Return the bytes that ``ctrl-p,ctrl-q`` stands for; "" switches detaching off.

    Raises: InvalidInputError.
    """
    if text is None:
        return b"\x10\x11"
    keys = bytearray()
    for word in text.split(",") if text else ():
        if len(word) == 1:
            keys += word.encode()
        elif len(word) == 6 and word.startswith("ctrl-") and word[5].upper() in "ABCDEFGHIJKLMNOPQRSTUVWXYZ@[\\]^_":
            keys.append(ord(word[5].upper()) ^ 0x40)
        else:
            raise InvalidInputError(
                f"invalid detach keys: unknown character: {word!r}", hint="as in --detach-keys=ctrl-p,ctrl-q"
            )
    return bytes(keys)


class RawTerminal:
    """The caller's terminal in raw mode for the length of a ``with``; nothing where ``fd`` is none."""

    __slots__ = ("_fd", "_saved")

    def __init__(self, fd: int) -> None:
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
            termios.tcsetattr(self._fd, termios.TCSANOW, raw)
        return self

    def __exit__(self, *_: object) -> None:
        import termios

        if self._saved is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)


def window_size(fd: int) -> tuple[int, int]:
    """Return rows and columns of the terminal ``fd``; 0, 0 if it is none."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return rows, columns


class Detacher:
    """Looks for the detach keys in what is typed; bytes of a begun sequence are held back until it is decided."""

    __slots__ = ("_held", "_keys", "is_detached")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.is_detached = False

    def feed(self, data: bytes) -> bytes:
        """Return what goes to the container."""
        if not self._keys:
            return data
        out = bytearray()
        for value in data:
            self._held += bytes((value,))
            if self._held == self._keys:
                self.is_detached = True
                return bytes(out)
            # What cannot become the sequence any more is let go, but not what may still begin it.
            while not self._keys.startswith(self._held):
                out.append(self._held[0])
                self._held = self._held[1:]
        return bytes(out)


_OUTPUTS = (("O", 1, "stdout"), ("E", 2, "stderr"))


class Attachment:
    """Pumps between the caller's descriptors and a monitor until exit or detach.

    Nothing waits for the monitor to take what is sent: while the container's input is full, its output must still be
    read. ``redraws``: what draws on the terminal shall draw it all for us, who have not seen it yet.
    """

    __slots__ = (
        "_detacher", "_due", "_ends_with_input", "_monitor", "_outputs", "_redraws", "_stdin_open", "_tty", "exit_code",
    )  # fmt: skip

    def __init__(
        self, monitor: Monitor, *, stdin: bool, tty: bool, detach_keys: bytes, streams: tuple[str, ...],
        redraws: bool = False,
    ) -> None:  # fmt: skip
        self._monitor = monitor
        self._tty = tty
        self._stdin_open = stdin
        self._redraws = redraws
        self._due: list[tuple[str, bytes]] = []  # frames to be sent, in this order
        self._detacher = Detacher(detach_keys if tty else b"")
        self._outputs = {kind: fd for kind, fd, name in _OUTPUTS if name in streams}
        self._ends_with_input = not self._outputs
        self.exit_code: int | None = None
        os.set_blocking(monitor.fd, False)

    def run(self) -> int | None:
        """Return the exit code; None after the detach keys or when the monitor went away."""
        with window_changes(self._window_changed if self._tty else None):
            if self._tty and self._stdin_open:
                with RawTerminal(0):
                    self._loop()
            else:
                self._loop()
        return self.exit_code

    @property
    def is_detached(self) -> bool:
        """Whether the detach keys were typed, or all that was to be done was to give the input."""
        return self._detacher.is_detached or (self._ends_with_input and not self._stdin_open and not self._due)

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
            data = b""  # EIO: our terminal is gone
        if not data:
            self._stdin_open = False
            self._due.append(("C", b""))
        elif text := self._detacher.feed(data):
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
        try:
            while content:
                content = content[os.write(self._outputs[kind], content) :]
        except BrokenPipeError:
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
            self._saved = [(number, _signal.signal(number, self._forward)) for number in _PROXIED]
        return self

    def _forward(self, number: int, frame: object) -> None:
        try:
            _signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return  # it has just ended; the exit code is on its way

    def __exit__(self, *_: object) -> None:
        for number, handler in self._saved:
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
