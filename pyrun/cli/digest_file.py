"""`--digestfile`: the digest of what a registry has now, for scripts."""

from __future__ import annotations

import os

from pyrun.errors import PyrunError


def write(path: str, digest: str) -> None:
    """Write it. Raises: PyrunError with the digest, which would be lost else."""
    try:
        with open(path, "w") as file:
            file.write(digest)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise PyrunError(f"cannot write the digest: {path}: {reason}", hint=f"it was pushed: {digest}") from error
