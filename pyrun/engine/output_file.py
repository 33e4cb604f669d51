"""A file or directory that a verb writes for the user: it appears, or is replaced, only when it is whole and on disk.

It must not know what is written. A file has no name until then where the file system can do that (O_TMPFILE, open(2)),
so one whose writer was killed is gone; what else a killed writer left, the next one of the same name removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from contextlib import contextmanager, suppress

from pyrun.errors import InvalidInputError, StoreError
from pyrun.store import fsio, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replaced(path: str) -> Iterator[int]:
    """Give a descriptor to write to. What is no regular file (a device, a pipe) is written as it is.

    Raises: StoreError where the file cannot be written, also within the block; then nothing is left of it.
    """
    is_file = not os.path.lexists(path) or os.path.isfile(path)
    temporary = ""
    try:
        if is_file:
            _remove_dead_parts(path)
            fd, temporary = _open_new(path)
        else:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_write(error, path) from error
    try:
        yield fd
        if is_file:
            os.fsync(fd)  # else a power loss may leave an empty file under the name
            temporary = temporary or _link(fd, path)
        if temporary:
            os.rename(temporary, path)
    except BaseException as error:
        if temporary:
            fsio.unlink_quietly(temporary)
        if isinstance(error, OSError):
            raise _cannot_write(error, path) from error
        raise
    finally:
        os.close(fd)


def write_new(path: str, data: bytes, *, mode: int) -> None:
    """Write a small file that must not exist. Raises: FileExistsError and other OSErrors; StorageFullError."""
    fd = _open_nameless(path)
    if fd < 0:
        fsio.write_new(path, data, mode=mode, sync=True)
        return
    try:
        fsio.write_all(fd, data)
        os.fchmod(fd, mode)
        os.fsync(fd)
        _name(fd, path)
    except OSError as error:
        raise fsio.full_or(error, path) from error
    finally:
        os.close(fd)


@contextmanager
def new_directory(path: str) -> Iterator[str]:
    """Give a directory to fill, which becomes ``path``: that must not exist, or be an empty directory.

    Raises: as `replaced`; InvalidInputError where there is something.
    """
    temporary = _part(path)
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise InvalidInputError(f"cannot write: {path}: it is there already, and no empty directory")
    try:
        _remove_dead_parts(path)
        os.mkdir(temporary, 0o755)
        lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_write(error, path) from error
    try:
        _try_lock(lock)
        yield temporary
        fsio.sync_file_system(temporary)
        os.rename(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            trees.remove_tree(temporary)
        if isinstance(error, OSError):
            raise _cannot_write(error, path) from error
        raise
    finally:
        os.close(lock)


def _open_new(path: str) -> tuple[int, str]:
    """Open a new file beside ``path``; return it and its name, "" where it needs none."""
    fd = _open_nameless(path)
    if fd >= 0:
        return fd, ""
    temporary = _part(path)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    _try_lock(fd)
    return fd, temporary


def _open_nameless(path: str) -> int:
    """Open a file that has no name yet, in the directory of ``path``; -1 where the file system has no such files."""
    try:
        return os.open(os.path.dirname(path) or ".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # EISDIR: a kernel, or a file system of its own kind, that does not know the flag: open(2).
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    return -1


def _link(fd: int, path: str) -> str:
    """Name a file ``path``, or, where that is taken, return the other name that it got, to be renamed."""
    try:
        _name(fd, path)
    except FileExistsError:
        temporary = _part(path)
        _name(fd, temporary)
        return temporary
    return ""


def _name(fd: int, path: str) -> None:
    # With a directory Python calls linkat(2) with AT_SYMLINK_FOLLOW, which /proc/self/fd needs: open(2), O_TMPFILE.
    os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)


def _remove_dead_parts(path: str) -> None:
    """Remove what writers of this name have left that were killed: nobody has its lock, nor its process id."""
    parent, name = os.path.split(path.rstrip("/"))
    own = re.compile(rf"\.{re.escape(name)}\.([0-9]+)\.part")
    for found in os.listdir(parent or "."):
        match = own.fullmatch(found)
        if match is None or os.path.exists(f"/proc/{match[1]}"):
            continue
        left = os.path.join(parent or ".", found)
        with suppress(OSError):
            fd = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if _try_lock(fd):
                    trees.remove_tree(left)
            finally:
                os.close(fd)


def _try_lock(fd: int) -> bool:
    """flock(2): it works on a directory, and ends with its process. A file system without it: nothing is removed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _part(path: str) -> str:
    path = path.rstrip("/")
    return f"{os.path.dirname(path) or '.'}/.{os.path.basename(path)}.{os.getpid()}.part"


def _cannot_write(error: OSError, path: str) -> Exception:
    found = fsio.full_or(error, path)
    if isinstance(found, StoreError):
        found.hint = "free some space there, or write to another place"
        return found
    if error.filename not in (None, path):  # of what was to be written there
        return error
    return StoreError(f"cannot write: {path}: {(error.strerror or '').lower()}", path=path)
