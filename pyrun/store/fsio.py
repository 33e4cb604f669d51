"""Small, atomic file operations and the locks of the store.

It must not know which files the store has (`layout.py` does). Hot: no tempfile, no struct.
"""

from __future__ import annotations

import fcntl
import os
import sys

from pyrun.errors import StorageFullError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

# struct flock of a 64-bit Linux is 32 bytes: type, whence, (pad), start, len, pid. Everything but the type is 0 here:
# whole file, counted from its start; F_OFD_* demands pid 0. fcntl(2) "Open file description locks", since 3.15.
_FLOCK_REST = bytes(62)
# asm-generic/errno.h
_ENOSPC, _EROFS, _EDQUOT = 28, 30, 122


def _flock(kind: int) -> bytes:
    return kind.to_bytes(2, sys.byteorder) + _FLOCK_REST


_READ = _flock(fcntl.F_RDLCK)
_WRITE = _flock(fcntl.F_WRLCK)
_FREE = _flock(fcntl.F_UNLCK)[:2]


class FileLock:
    """A lock on a file that is never removed; held in a ``with`` block, freed by the kernel if we die.

    Open file description locks: unlike flock(2)'s they are not shared with forked children that close the file,
    and unlike POSIX ones they also hold between threads. Readers share; ``exclusive`` waits for all others.
    """

    __slots__ = ("_exclusive", "_fd", "_path")

    def __init__(self, path: str, *, exclusive: bool) -> None:
        self._path = path
        self._exclusive = exclusive
        self._fd = -1

    def __enter__(self) -> Self:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock(fd, exclusive=self._exclusive)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def lock(fd: int, *, exclusive: bool) -> None:
    """Lock an open file as `FileLock` does, until it is closed."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _WRITE if exclusive else _READ)


def try_lock(path: str) -> int:
    """Lock an existing file exclusively if nobody holds it; return a descriptor to be closed, or -1 if it is held."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if try_lock_open(fd, exclusive=True):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1


def try_lock_open(fd: int, *, exclusive: bool) -> bool:
    """Lock an open file, or change the lock that it has, unless another one is in the way."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WRITE if exclusive else _READ)
    except BlockingIOError:
        return False
    return True


def is_locked(path: str) -> bool:
    """Whether another open file holds a lock on the file (``F_OFD_GETLK``: asking disturbs nobody).

    Not through pyrun._native: to load that costs `ps` more than all its questions.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _READ)
    finally:
        os.close(fd)
    return answer[:2] != _FREE


def read_bytes(path: str) -> bytes:
    """Read a whole small file. Raises: OSError as open(2) and read(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, size + 1) if size else os.read(fd, 65536)  # files of /proc say 0
        if 0 < len(data) <= size:
            return data  # asked for one byte more than there are: that was the end
        while chunk := os.read(fd, 65536):
            data += chunk
        return data
    finally:
        os.close(fd)


def read_head(path: str) -> bytes:
    """Read the beginning of a file, at most 4096 bytes: all of a small one, in three system calls; `open` makes seven.

    Raises: as `read_bytes`.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def write_new(path: str, data: bytes, *, mode: int = 0o600, sync: bool = False) -> None:
    """Write a file that must not exist; not atomic: for files below a directory that is still being built.

    What could not be written whole is gone. Raises: FileExistsError; StorageFullError; other OSErrors as they come.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        except BaseException:
            unlink_quietly(path)
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise full_or(error, path) from error


def sync_files(paths: Sequence[str]) -> None:
    """Bring the contents of files to the disk. Raises: StorageFullError; other OSErrors as they come.

    All are on their way before the first is waited for: one commit of the file system's journal serves them all.
    """
    fds: list[int] = []
    try:
        for path in paths:
            fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            # mm/fadvise.c: what is to be dropped is written first, without waiting.
            os.posix_fadvise(fds[-1], 0, 0, os.POSIX_FADV_DONTNEED)
        for fd, path in zip(fds, paths, strict=True):
            try:
                os.fdatasync(fd)
            except OSError as error:
                raise full_or(error, path) from error
    finally:
        for fd in fds:
            os.close(fd)


def write_atomic(path: str, data: bytes, *, temporary: str, mode: int = 0o600, sync: bool = True) -> None:
    """Replace a file in one step; ``temporary`` is a free path on the same file system that a sweep would find.

    With ``sync`` the data is on disk before the name is: else a power loss may leave an empty file under the name.
    """
    try:
        write_new(temporary, data, mode=mode, sync=sync)
        os.rename(temporary, path)
    except BaseException:
        unlink_quietly(temporary)
        raise


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything: write(2) may stop half-way."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def unlink_quietly(path: str) -> None:
    """Remove a file that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def make_directory(path: str, mode: int = 0o700) -> None:
    """Make a directory and its parents, each with the mode; an existing one is left as it is."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = path.rpartition("/")[0]
        if not parent or os.path.isdir(parent):
            raise  # a file system that makes none: procfs
        make_directory(parent, mode)
        make_directory(path, mode)
    except OSError as error:
        raise full_or(error, path) from error


def sync_file_system(path: str) -> None:
    """Bring everything that was written to the file system of a directory to the disk. Raises: StorageFullError."""
    try:
        from pyrun._native import ffi, lib
    except ImportError:  # without the native module sync(2) does: all file systems instead of one
        os.sync()
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if lib.syncfs(fd) != 0:
            # Write errors that nobody has seen yet are reported here: syncfs(2), since Linux 5.8.
            number = ffi.errno
            raise full_or(OSError(number, os.strerror(number), path), path)
    finally:
        os.close(fd)


def full_or(error: OSError, path: str) -> Exception:
    """Translate ENOSPC, EDQUOT and EROFS; let others name the file: what write(2) and fsync(2) report names none."""
    if error.errno == _ENOSPC:
        return StorageFullError(
            f"cannot write: {path}: no space left on the file system",
            path=path,
            hint="free some space (`pyrun rmi IMAGE`), or use another place: --root DIRECTORY",
        )
    if error.errno == _EDQUOT:
        return StorageFullError(
            f"cannot write: {path}: disk quota exceeded",
            path=path,
            hint="remove files of yours, or use another place: --root DIRECTORY",
        )
    if error.errno == _EROFS:
        return StoreError(f"cannot write: {path}: read-only file system", path=path, hint="use --root DIRECTORY")
    if error.filename is None:
        error.filename = path
    return error
