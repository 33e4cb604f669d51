"""Removal of directory trees that may hold files of subordinate owners.

It must not know namespaces: whoever can enter the engine's user namespace registers a remover. Hot: used by rm.
"""

from __future__ import annotations

import _thread
import errno
import os

from pyrun.errors import PyrunError, StoreError
from pyrun.store import owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrun.store.layout import Layout

_remover: Callable[[Sequence[str]], None] | None = None
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# How deep this process goes: each level takes a descriptor and two frames. A container makes its directories as deep as
# it likes; the registered remover has no such limit.
_DEPTH = 100
_THREADS = 8


def register_remover(remover: Callable[[Sequence[str]], None] | None) -> None:
    """Say how to remove trees that this process may not: ``remover(paths)`` removes them whole or raises."""
    global _remover
    _remover = remover


def remove_tree(path: str) -> None:
    """Remove a file or a tree; follows no symlink; a path that does not exist is fine.

    Tries in this process first (the tree of most containers is small and ours), then with the registered remover.
    Raises: StoreError if something stays.
    """
    try:
        _remove(path)
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in (errno.EMFILE, errno.ELOOP):
            raise
        if _remover is None:
            raise StoreError(
                f"cannot remove: {error.filename or path}: {(error.strerror or '').lower()}",
                path=path,
                hint="it holds files of subordinate ids, or very deep directories; remove it as root",
            ) from error
        _remover([path])


def remove_all(paths: Sequence[str]) -> None:
    """Remove files and large trees: the trees with the registered remover, which is native, all at once.

    Raises: as `remove_tree`, for the first that stays.
    """
    if _remover is None:
        for path in paths:
            remove_tree(path)
        return
    directories = []
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            directories.append(path)
    try:
        if directories:
            _remover(directories)
    except PyrunError:
        # No engine namespace to be had now. Most of it is our own, and needs none.
        for path in directories:
            remove_tree(path)


def remove_trees(paths: Sequence[str]) -> None:
    """Remove many trees at once. Raises: as `remove_tree`, for the first that stays, when it is done with all.

    A file system's journal is written while others wait for their unlink(2): 60 containers took 1.8 s one after another
    on a busy disk, 0.2 s in eight threads (measured, ext4).
    """
    todo, failures = [*paths], []

    def work(done: _thread.LockType) -> None:
        try:
            while todo:
                try:
                    remove_tree(todo.pop())
                except (PyrunError, OSError) as error:
                    failures.append(error)
                except IndexError:
                    return  # another took the last
        finally:
            done.release()

    locks = [_thread.allocate_lock() for _ in range(min(_THREADS, len(todo)))]
    for lock in locks:
        lock.acquire()
        _thread.start_new_thread(work, (lock,))
    for lock in locks:
        lock.acquire()
    if failures:
        raise failures[0]


def discard(layout: Layout, path: str) -> None:
    """Make a tree of the store's disk unreachable in one step, then remove it; a missing one is fine."""
    grave = bury(layout, path)
    if grave:
        remove_tree(grave)


def bury(layout: Layout, path: str) -> str:
    """Make a tree of the store's disk unreachable in one step; return where it is now, "" if it is missing."""
    grave = f"{layout.trash}/{owner.token()}"
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return ""
    return grave


def _remove(path: str) -> None:
    try:
        os.unlink(path)
        return
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    parent, _, name = path.rpartition("/")
    parent_fd = os.open(parent or "/", _DIRECTORY)
    try:
        _remove_directory(parent_fd, name, _DEPTH)
    finally:
        os.close(parent_fd)


def _remove_directory(parent_fd: int, name: str, depth: int) -> None:
    """Remove a directory below an open one: held descriptors, so a swapped symlink leads nowhere."""
    if depth == 0:
        raise OSError(errno.ELOOP, "too many levels of directories", name)
    try:
        fd = _open_directory(parent_fd, name)
    except FileNotFoundError:
        return
    try:
        # Another process may be removing, or dying while it writes, the same tree: look again until it is empty.
        for _ in range(5):
            _empty(fd, depth - 1)
            try:
                os.rmdir(name, dir_fd=parent_fd)
                return
            except FileNotFoundError:
                return
            except OSError as error:
                last = error
        raise last
    finally:
        os.close(fd)


def _empty(fd: int, depth: int) -> None:
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            _remove_directory(fd, name, depth)
            continue
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass


def _open_directory(parent_fd: int, name: str) -> int:
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    except PermissionError:
        # A directory of ours without r or x: overlay's work/work has mode 0.
        os.chmod(name, 0o700, dir_fd=parent_fd)
        return os.open(name, _DIRECTORY, dir_fd=parent_fd)
    mode = os.fstat(fd).st_mode
    if mode & 0o300 != 0o300 and os.fstat(fd).st_uid == os.geteuid():
        os.fchmod(fd, 0o700)
    return fd
