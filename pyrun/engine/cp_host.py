"""The host's side of ``cp``: what its paths lead to, by the caller's rights and eyes.

It must not know containers. The words are docker's: moby/go-archive.
"""

from __future__ import annotations

import os

from pyrun.engine.cp_paths import Target, absolute, asserts_directory
from pyrun.errors import InvalidInputError, NotFoundError

_LINKS = 10  # as docker: moby/go-archive CopyInfoDestinationPath


def check_output(path: str) -> None:
    """Refuse a path that nothing can be copied to, in docker's words. Raises: InvalidInputError."""
    clean = os.path.normpath(path)
    if not os.path.exists(os.path.dirname(clean)):
        raise InvalidInputError(f'invalid output path: directory "{os.path.dirname(clean)}" does not exist')
    if os.path.exists(clean) and not os.path.isdir(clean) and not os.path.isfile(clean):
        raise InvalidInputError(f'invalid output path: "{path}" must be a directory or a regular file')


def target(path: str) -> Target:
    """Follow links to where the copy goes: the last need not exist. Raises: InvalidInputError."""
    for _ in range(_LINKS):
        if not os.path.islink(path.rstrip("/") if path.strip("/") else path):
            break
        clean = os.path.normpath(path)
        path = absolute(os.readlink(clean), os.path.dirname(clean))
    else:
        raise InvalidInputError(f"too many symlinks in {path}")
    is_directory = os.path.isdir(path)
    exists = is_directory or (os.path.lexists(path) and not asserts_directory(path))
    return Target(path, exists=exists, is_directory=is_directory)


def source(path: str, *, follow: bool) -> tuple[str, bool]:
    """Return the source's path without links on the way (and at its end if they are followed), and if it is one."""
    clean = os.path.normpath(path)
    try:
        if follow or asserts_directory(path):
            real = os.path.realpath(clean, strict=True)
        else:
            real = os.path.join(os.path.realpath(os.path.dirname(clean), strict=True), os.path.basename(clean))
        os.lstat(real)
    except OSError as error:
        raise NotFoundError(f"cannot copy {path}: {(error.strerror or '').lower()}") from None
    is_directory = os.path.isdir(real) and not os.path.islink(real)
    if asserts_directory(path) and not is_directory:
        raise InvalidInputError(f"cannot copy {path}: not a directory")
    return real, is_directory


def open_directory(directory: str) -> int:
    """Return a descriptor of a directory to copy into. Raises: InvalidInputError."""
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInputError(f"cannot copy to {directory}: {(error.strerror or '').lower()}") from None


def size(path: str, is_directory: bool) -> int:
    """Return the bytes of the regular files that are copied."""
    if not is_directory:
        found = os.lstat(path)
        return found.st_size if os.path.isfile(path) and not os.path.islink(path) else 0
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            one = os.path.join(parent, name)
            total += os.lstat(one).st_size if os.path.isfile(one) and not os.path.islink(one) else 0
    return total
