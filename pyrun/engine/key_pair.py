"""The verb image generate-key-pair: a new key that signs, encrypted, and the public one beside it.

It must not know where the passphrase comes from.
"""

from __future__ import annotations

import os

from pyrun.engine import output_file
from pyrun.errors import ConflictError, NotFoundError, StoreError
from pyrun.store import fsio
from pyrun.trust import private_key


def generate(prefix: str, passphrase: bytes) -> tuple[str, str]:
    """Write PREFIX.key and PREFIX.pub, both or none; return their paths. What is there is never replaced.

    Killed between the two it leaves the first one, whole.

    Raises: ConflictError, NotFoundError (no such directory), StoreError.
    """
    key = private_key.generate()
    files = ((f"{prefix}.key", 0o600, key.encrypted(passphrase)), (f"{prefix}.pub", 0o644, key.public.pem()))
    check_free(prefix)
    made: list[str] = []
    try:
        for path, mode, data in files:
            output_file.write_new(path, data, mode=mode)
            made.append(path)
    except BaseException as error:
        for path in made:
            fsio.unlink_quietly(path)
        if isinstance(error, FileExistsError):
            raise _taken(path) from None
        if isinstance(error, FileNotFoundError):
            raise NotFoundError(f"cannot write key: {path}: no such directory") from None
        if isinstance(error, OSError):
            raise StoreError(f"cannot write key: {path}: {(error.strerror or '').lower()}", path=path) from error
        raise
    return files[0][0], files[1][0]


def check_free(prefix: str) -> None:
    """Find out before a passphrase is asked for. Raises: ConflictError."""
    for path in (f"{prefix}.key", f"{prefix}.pub"):
        if os.path.lexists(path):
            raise _taken(path)


def _taken(path: str) -> ConflictError:
    return ConflictError(
        f"cannot write key: {path}: it is there already",
        hint="a key that is lost cannot be made again: take another name with --output-key-prefix",
    )
