"""The entry of `pyrun`: hot verbs are parsed by table, everything else is handed to click.

It must not know what a verb does, and must not import click: that costs more than starting a container. HOT.
"""

from __future__ import annotations

import _signal
import os
import sys

from pyrun.cli import fastparse, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from pyrun.store.layout import Layout

    Call = tuple[str, dict[str, Any]]


class Session:
    """What the global options say: `root`, `debug` ("" off, "true" tracebacks, "plan" also the plan), and the verb."""

    __slots__ = ("_layout", "debug", "root", "verb")

    def __init__(self, root: str | None = None, debug: str = "") -> None:
        self.root = root
        self.debug = debug
        self.verb = ""
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """The store's layout, made at first use."""
        if self._layout is None:
            from pyrun.store.layout import Layout
            from pyrun.store.version import open_store

            self._layout = Layout.default(self.root)
            open_store(self._layout)
        return self._layout


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command line and leave the process: what the launcher calls."""
    import gc

    _fill_standard_streams()
    # A caller that ignores it (a container's first process may, nohup's children do) hands that on: then the kernel
    # reaps our helpers itself, and nobody learns how they ended: sigaction(2).
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    # A command ends before it has made garbage: looking for some among its modules costs 1 ms.
    gc.set_threshold(100_000)
    try:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (2,))  # the launcher has blocked SIGINT
        code = main(argv)
    except KeyboardInterrupt:
        code = 130
    for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except AttributeError:  # closed by the caller
            continue
        except OSError:
            # Its disk is full, or its reader has gone: main() has told. The interpreter flushes once more at its end,
            # and would complain and exit with 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), fd)
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        sys.exit(code)  # joins them
    # The interpreter's own farewell takes its modules to pieces, which the kernel does at once: 1.5 ms.
    os._exit(code & 0xFF)


def _fill_standard_streams() -> None:
    """Open /dev/null where the caller closed a standard stream: else the next file of ours gets its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is fd: those below it are open.
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code; never raises, never exits."""
    argv = list(sys.argv[1:] if argv is None else argv)
    session = Session()
    try:
        code = _dispatch(session, argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BaseException as error:  # the one place where every failure ends: a sentence and a code
        try:
            from pyrun.cli.errors import report

            return report(error, verb=session.verb, debug=bool(session.debug))
        except (OSError, MemoryError, ImportError):
            os.write(
                2, b"pyrun: out of memory or open files: nothing more can be loaded\nhint: raise `ulimit -v` or -n\n"
            )
            return 125 if session.verb in ("run", "create", "exec") else 1


def _dispatch(session: Session, argv: Sequence[str]) -> int:
    call = None if "_PYRUN_COMPLETE" in os.environ else parse(session, argv)
    if call is None:
        from pyrun.cli.app import invoke

        return invoke(session, argv)
    module, params = call
    code: int = _load("pyrun.cli." + module).execute(session, params)
    return code


def parse(session: Session, argv: Sequence[str]) -> Call | None:
    """Parse a hot verb's command line into (module, parameters) and fill `session`; None where click must look."""
    try:
        found, rest = fastparse.scan(table.GLOBAL_OPTIONS, argv, interspersed=False)
    except fastparse.FlagError:
        return None
    names = table.VERBS
    if rest and rest[0] in ("container", "image"):
        names, rest = table.CONTAINER_VERBS if rest[0] == "container" else table.IMAGE_VERBS, rest[1:]
    row = table.ROWS.get(names.get(rest[0], "")) if rest else None
    params = None if row is None else fastparse.parse(row, rest[1:])
    if row is None or params is None:
        return None
    for name, value in found:
        setattr(session, name, value)
    session.verb = row["verb"]
    return row["module"], params


def _load(name: str) -> Any:
    __import__(name)
    return sys.modules[name]
