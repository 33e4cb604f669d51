"""Files into a tar or into a directory: what `save` writes. Each blob is verified on its way.

It must not know what the files mean. The same files give the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os

from pyrun.errors import StoreCorruptError
from pyrun.images import tar_header
from pyrun.layers.thread import WaitedThread
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from pyrun.layers.write import Written

    class Writer(Protocol):
        """Where the files go. Directories come before what is in them."""

        def directory(self, name: str) -> None: ...
        def document(self, name: str, data: bytes) -> None: ...
        def blob(self, name: str, path: str, digest: str) -> None:
            """Raises: StoreCorruptError where the file is missing or has other bytes than ``digest`` says."""

        def end(self) -> None: ...


_PIECE = 1 << 24
_CHUNK = 1 << 18


class TarWriter:
    """Writes a tar to a descriptor, which may be a pipe."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def directory(self, name: str) -> None:
        fsio.write_all(self._fd, tar_header.encode(f"{name}/", kind=tar_header.DIRECTORY))

    def document(self, name: str, data: bytes) -> None:
        content = data + bytes(tar_header.padding(len(data)))
        fsio.write_all(self._fd, tar_header.encode(name, len(data)) + content)

    def blob(self, name: str, path: str, digest: str) -> None:
        fd = open_blob(path, digest)
        try:
            size = os.fstat(fd).st_size
            fsio.write_all(self._fd, tar_header.encode(name, size))
            copy_verified(fd, self._fd, path, digest)
            fsio.write_all(self._fd, bytes(tar_header.padding(size)))
        finally:
            os.close(fd)

    def end(self) -> None:
        fsio.write_all(self._fd, bytes(2 * tar_header.BLOCK))


class DirectoryWriter:
    """Writes files below a directory that is there and empty."""

    __slots__ = ("_directory",)

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def directory(self, name: str) -> None:
        os.mkdir(f"{self._directory}/{name}", 0o755)

    def document(self, name: str, data: bytes) -> None:
        fsio.write_new(f"{self._directory}/{name}", data, mode=0o644)

    def blob(self, name: str, path: str, digest: str) -> None:
        fd = open_blob(path, digest)
        try:
            target = os.open(f"{self._directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                copy_verified(fd, target, path, digest)
            finally:
                os.close(target)
        finally:
            os.close(fd)

    def made(self, write: Callable[[int], Written], path: str, digest: str) -> Written:
        """Let ``write`` fill a file with a packed form of the tar ``digest``; it is named by its own digest.

        Raises: StoreCorruptError where the tar was another one.
        """
        temporary = f"{self._directory}/.part"
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            written = write(target)
        finally:
            os.close(target)
        if written.diff_id != digest:
            raise _corrupt(path, digest)
        os.rename(temporary, f"{self._directory}/{written.digest.partition(':')[2]}")
        return written

    def end(self) -> None:
        """Nothing follows the last file."""


def open_blob(path: str, digest: str) -> int:
    """Open a blob of the store. Raises: StoreCorruptError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StoreCorruptError(
            f"blob is missing: {digest}", path=path, hint="pull the image again: `pyrun pull IMAGE`"
        ) from None


def check_blob(path: str, digest: str) -> None:
    """Say whether a blob is there, before others are written. Raises: StoreCorruptError."""
    os.close(open_blob(path, digest))


def copy_verified(source: int, target: int, path: str, digest: str) -> None:
    """Copy a whole file in the kernel while a thread hashes it. Raises: StoreCorruptError; OSError."""
    state = hashlib.sha256()
    hashing = WaitedThread(_hash, "pyrun-hash", (source, state))
    hashing.start()
    try:
        _copy(source, target)
        hashing.join()
    except BaseException:
        hashing.join()  # the caller closes what it reads
        raise
    if f"sha256:{state.hexdigest()}" != digest:
        raise _corrupt(path, digest)


def _corrupt(path: str, digest: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"blob is corrupt: {digest}: its bytes have another digest",
        path=path,
        hint=f"remove {path} and pull the image again",
    )


def _copy(source: int, target: int) -> None:
    size, offset = os.fstat(source).st_size, 0
    while offset < size:
        try:
            sent = os.sendfile(target, source, offset, min(_PIECE, size - offset))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):  # sendfile(2): not where the shell said >>
                raise
            data = os.pread(source, _CHUNK, offset)
            fsio.write_all(target, data)
            sent = len(data)
        if not sent:
            return  # it has become shorter: the digest tells
        offset += sent


def _hash(fd: int, state: hashlib._Hash) -> None:
    offset = 0
    while chunk := os.pread(fd, _CHUNK, offset):
        state.update(chunk)
        offset += len(chunk)
