"""A file or directory that a verb writes for the user: it appears, or is replaced, only when it is whole.

It must not know what is written.
"""

from __future__ import annotations

import os
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
    temporary = _part(path)
    try:
        if not os.path.lexists(path) or os.path.isfile(path):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        else:
            temporary, fd = "", os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_write(error, path) from error
    try:
        yield fd
        if temporary:
            os.rename(temporary, path)
    except BaseException as error:
        if temporary:
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise fsio.full_or(error, path) from error
        raise
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
        os.mkdir(temporary, 0o755)
    except OSError as error:
        raise _cannot_write(error, path) from error
    try:
        yield temporary
        os.rename(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            trees.remove_tree(temporary)
        if isinstance(error, OSError):
            raise fsio.full_or(error, path) from error
        raise


def _part(path: str) -> str:
    path = path.rstrip("/")
    return f"{os.path.dirname(path) or '.'}/.{os.path.basename(path)}.{os.getpid()}.part"


def _cannot_write(error: OSError, path: str) -> Exception:
    found = fsio.full_or(error, path)
    if found is not error:
        return found
    return StoreError(f"cannot write: {path}: {(error.strerror or '').lower()}", path=path)
