"""Half-fetched blobs: bytes under the digest that they should have, not verified, kept for whoever tries again.

It must not know where bytes come from. One process at a time adds to such a file, under an exclusive lock. A file that
is as long as its blob is never written again: who reads or has verified it holds the lock shared, so that nobody takes
it away. Nothing here is believed: each reader verifies all of it. Cold.
"""

from __future__ import annotations

import os
import time
from contextlib import closing

from pyrun.errors import SizeMismatchError, StoreError
from pyrun.store import blobs, fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pyrun.store.layout import Layout

STALE_SECONDS = 7 * 86400
CHUNK_BYTES = 1 << 18


class Partial:
    """One of them, open and locked. ``kept``: how many bytes of it were there before."""

    __slots__ = ("_digest", "_fd", "_layout", "_path", "_size", "kept")

    def __init__(self, layout: Layout, digest: str, size: int, fd: int) -> None:
        self._layout = layout
        self._digest = digest
        self._path = layout.partial(digest)
        self._size = size
        self._fd = fd
        self.kept = os.fstat(fd).st_size

    def chunks(self, rest: Callable[[int], Generator[bytes, None, None]]) -> Generator[bytes, None, None]:
        """Give the whole blob: what is kept, then ``rest(offset)``, which is kept as it comes."""
        at = 0
        while at < self.kept and (chunk := os.pread(self._fd, CHUNK_BYTES, at)):
            at += len(chunk)
            yield chunk
        if at < self._size:
            os.lseek(self._fd, at, os.SEEK_SET)
            with closing(rest(at)) as source:
                for chunk in source:
                    fsio.write_all(self._fd, chunk)
                    yield chunk

    def share(self) -> None:
        """Let others read it: all of it is here, and the caller has verified it."""
        fsio.try_lock_open(
            self._fd, exclusive=False
        )  # from exclusive to shared: fcntl(2) converts, nobody is in the way

    def publish(self) -> None:
        """Give the verified file its name as a blob; somebody else may have been first with the same bytes.

        A link to the open file, not a rename of its name: under the name there may be somebody else's by now.
        Raises: StoreError if the file was removed meanwhile.
        """
        try:
            # With a directory, though the path is absolute: else os.link takes link(2), which would link the symlink.
            os.link(f"/proc/self/fd/{self._fd}", self._layout.blob(self._digest), src_dir_fd=self._fd)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise StoreError(
                f"cannot keep blob: {self._digest}: it was removed while it was unpacked",
                path=self._path,
                hint="try again",
            ) from None
        self._forget()
        fsio.unlink_quietly(self._layout.dropped(self._digest))
        os.fchmod(self._fd, blobs.BLOB_MODE)  # last: under its first name it can be opened for writing
        self.close()

    def remove(self) -> None:
        """Forget the bytes: they are damaged, or the blob is there. May be called after `close`."""
        self._forget()
        self.close()

    def _forget(self) -> None:
        if self._fd >= 0 and _is_named(self._fd, self._path):
            fsio.unlink_quietly(self._path)

    def close(self) -> None:
        """Leave the bytes for another try. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if os.fstat(fd).st_size == 0 and _is_named(fd, self._path):
            fsio.unlink_quietly(self._path)
        os.close(fd)


def claim(layout: Layout, digest: str, size: int) -> Partial | None:
    """Open what is kept of a blob, or begin it; None where another process is fetching it: ask again.

    The blob may have appeared before the lock was ours: look for it again afterwards.
    Raises: SizeMismatchError if another process has verified it, and it has another size.
    """
    path = layout.partial(digest)
    while True:
        fd, is_kept = _open(path), False
        try:
            is_mine = fsio.try_lock_open(fd, exclusive=True)
            if not is_mine and not fsio.try_lock_open(fd, exclusive=False):
                return None
            if not _is_named(fd, path):
                continue  # published or removed since it was opened
            found = os.fstat(fd).st_size
            if found == size or (is_mine and found < size):
                is_kept = True
                partial = Partial(layout, digest, size, fd)
                if found == size:
                    partial.share()
                return partial
            if not is_mine:
                raise SizeMismatchError(f"layer {digest}", expected=size, actual=found)
            fsio.unlink_quietly(path)  # more than there can be
        finally:
            if not is_kept:
                os.close(fd)


def sweep(layout: Layout) -> None:
    """Remove what nobody has come back for, and what has become a blob."""
    _remove(layout, lambda path, digest: _age(path) > STALE_SECONDS or blobs.exists(layout, digest))


def idle(layout: Layout) -> list[str]:
    """Return the paths of those that nobody is at work on."""
    found = []
    for name in _names(layout):
        path = f"{layout.partials}/{name}"
        try:
            fd = fsio.try_lock(path)
        except FileNotFoundError:
            continue
        if fd >= 0:
            os.close(fd)
            found.append(path)
    return found


def prune(layout: Layout) -> None:
    """Remove all that nobody is at work on."""
    _remove(layout, lambda path, digest: True)


def _remove(layout: Layout, is_to_go: Callable[[str, str], bool]) -> None:
    for name in _names(layout):
        path = f"{layout.partials}/{name}"
        if not is_to_go(path, f"sha256:{name}"):
            continue
        try:
            fd = fsio.try_lock(path)
        except FileNotFoundError:
            continue
        if fd >= 0:
            if _is_named(fd, path):
                fsio.unlink_quietly(path)
            os.close(fd)


def _names(layout: Layout) -> list[str]:
    try:
        return os.listdir(layout.partials)
    except FileNotFoundError:
        return []  # a store of before


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        fsio.make_directory(path.rpartition("/")[0])
        return os.open(path, flags, 0o600)


def _is_named(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _age(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0
