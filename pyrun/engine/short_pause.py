"""A pause for as long as something takes (`commit`), whose end does not hang on the life of who asked for it.

It must not know what a pause is: engine/pause.py. If the process is killed, another one makes the container go on.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pyrun.engine.pause import pause, unpause
from pyrun.errors import ContainerNotFoundError, PyrunError, WrongStatusError
from pyrun.store import containers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.store.layout import Layout

# In a session of its own: what ends the terminal's does not end this. Nothing is left open that somebody may wait for.
_WATCH = """
import os, sys
os.setsid()
os.closerange(3, 1 << 20)
if not os.read(0, 1):
    root, runtime, container, *sys.path[:] = sys.argv[1:]
    from pyrun.engine.pause import unpause
    from pyrun.store.layout import Layout
    unpause(Layout(root, runtime), container)
"""


@contextmanager
def while_paused(layout: Layout, name: str) -> Iterator[None]:
    """Pause a container, and unpause it at the end; also if this process is killed meanwhile. Raises: as `pause`.

    Not with what it started, all at once: then it stays paused, and `unpause` is for that.
    """
    container_id, _ = containers.resolve(layout, name)
    wanted = True
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        watcher = _start_watcher(layout, container_id, read_end)
    finally:
        os.close(read_end)
    try:
        try:
            pause(layout, name)
        except PyrunError:
            wanted = False  # nothing is paused, or it is somebody else's pause
            raise
        yield
    finally:
        # Also of what a signal has ended in the middle of `pause`.
        if wanted:
            with suppress(WrongStatusError, ContainerNotFoundError):  # somebody has unpaused, ended or removed it
                unpause(layout, container_id)
        _dismiss(watcher, write_end)


def _start_watcher(layout: Layout, container_id: str, pipe: int) -> int:
    """Start what unpauses when nobody has the other end of ``pipe`` any more; return its pid."""
    argv = [sys.executable, "-I", "-S", "-c", _WATCH, layout.root, layout.runtime, container_id, *sys.path]
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    return os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 0), *null])


def _dismiss(watcher: int, pipe: int) -> None:
    with suppress(BrokenPipeError):  # it was killed
        os.write(pipe, b".")
    os.close(pipe)
    with suppress(ChildProcessError):  # the program that we are part of wants no word of its children
        os.waitpid(watcher, 0)
