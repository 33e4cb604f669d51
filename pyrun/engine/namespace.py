"""How the verbs reach trees of subordinate owners: the store's helper program, run in the engine user namespace.

It must not know what is unpacked or removed. Hot where rm is: imports nothing until it is needed.
"""

from __future__ import annotations

from pyrun.store import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.layers.pyrun_tree import Process, Spawn
    from pyrun.store.layout import Layout


AT_ONCE = 500  # paths of one helper: execve(2) takes 2 MB of arguments, or a quarter of the stack's limit


def register(layout: Layout) -> None:
    """Let the store remove, from now on, what this process itself may not."""
    trees.register_remover(lambda paths: remove(layout, paths))


def remove(layout: Layout, paths: Sequence[str]) -> None:
    """Remove trees, in the engine namespace where it takes that. Raises: SyscallError.

    Who may write to a directory may remove whatever is in it, and most directories of an image are root's, so the
    user's: the first try is made as the user, and mostly spares the 4 ms of a namespace that nobody has yet (measured).
    """
    assert not isinstance(paths, str), "a text is a sequence too: of its characters, the first of them /"
    from pyrun.layers import pyrun_tree

    for first in range(0, len(paths), AT_ONCE):
        some = paths[first : first + AT_ONCE]
        _, status = pyrun_tree.Job(["remove", *some], spawn=pyrun_tree.spawn_here).wait()
        if status != 0:
            pyrun_tree.run(["remove", *some], spawn=spawner(layout), what=some[0])


def copy(layout: Layout, source: str, target: str, *options: str) -> None:
    """Copy a tree into a directory with all it has; ``options``: of ``pyrun-tree copy``.

    Raises: StorageFullError, SyscallError.
    """
    import os

    from pyrun.layers import pyrun_tree

    # O_PATH: a directory may be closed to us; the helper opens it again as root of the engine namespace.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    from_fd = os.open(source, flags)
    to_fd = os.open(target, flags)
    try:
        arguments = ["copy", *options, "--from-fd", str(from_fd), "--to-fd", str(to_fd)]
        pyrun_tree.run(arguments, spawn=spawner(layout), pass_fds=[from_fd, to_fd], what=target)
    finally:
        os.close(from_fd)
        os.close(to_fd)


def own(layout: Layout, uid: int, gid: int, paths: Sequence[str]) -> None:
    """Give files and directories, none of what is in them, to ids of the engine namespace. Raises: SyscallError."""
    from pyrun.layers import pyrun_tree

    pyrun_tree.run(["own", f"{uid}:{gid}", *paths], spawn=spawner(layout), what=paths[0])


def spawner(layout: Layout, *, clone_flags: int = 0, beside: tuple[int, int] | None = None) -> Spawn:
    """Return the function that starts a program of ours in the engine namespace of this user.

    ``clone_flags``: further namespaces that it gets of its own. ``beside``: in the engine namespace of that process
    (pid, start time), a monitor: who enters its container must be in the namespace above.
    """
    from pyrun.runtime import engine_ns

    engine = engine_ns.engine_map()

    def spawn(argv: Sequence[str], stdin_fd: int, pass_fds: Sequence[int], *, stdout_fd: int = 1) -> Process:
        return engine_ns.spawn_in(
            layout.engine, engine, [*argv], fds=(stdin_fd, stdout_fd, 2), keep=tuple(pass_fds),
            clone_flags=clone_flags, beside=beside,
        )  # fmt: skip

    return spawn


def form() -> str:
    """Return the form of layers that this user's engine namespace can own: full, or flat with a single id."""
    from pyrun.runtime import engine_ns

    return engine_ns.engine_map().form
