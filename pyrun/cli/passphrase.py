"""Where the passphrase of a private key comes from: a file, $COSIGN_PASSWORD, or the person at the terminal."""

from __future__ import annotations

import os
import sys

from pyrun.errors import InvalidInputError

VARIABLE = "COSIGN_PASSWORD"


def read(file: str | None, *, is_new: bool = False) -> bytes:
    """Return the passphrase; ``is_new``: it is asked for twice. It may be empty, as cosign's may."""
    if file:
        return _from_file(file)
    if VARIABLE in os.environ:
        return os.environb[VARIABLE.encode()]
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInputError(
            "cannot ask for the passphrase of the key: standard input is not a terminal",
            hint=f"set {VARIABLE}, or name a file with --passphrase-file",
        )
    from getpass import getpass

    first = getpass("Enter password for private key: ", stream=sys.stderr)
    if is_new and first != getpass("Enter password for private key again: ", stream=sys.stderr):
        raise InvalidInputError("the passphrases are not the same")
    return first.encode("utf-8", "surrogateescape")


def _from_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(65536)
    except OSError as error:
        raise InvalidInputError(f"cannot read passphrase file: {path}: {(error.strerror or '').lower()}") from None
    return data.removesuffix(b"\n").removesuffix(b"\r")  # editors end the line, as containers/image knows
