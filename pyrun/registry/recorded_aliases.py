"""Writes short-name-aliases.conf, which podman and pyrun share: what a user has chosen a short name to be.

It must not know what an alias means (short_names.py). Cold: tomllib costs 11 ms.
Source: containers-registries.conf(5) "Short-Name Aliasing".
"""

from __future__ import annotations

import fcntl
import json
import os
import tomllib

from pyrun.errors import InvalidConfigError, StoreError
from pyrun.registry import settings


def add(name: str, target: str) -> None:
    """Record an alias, by rename; another one of that name is replaced.

    Raises: StoreError where it cannot be written; InvalidConfigError for a file that is damaged, which is left alone.
    """
    path = settings.recorded_path()
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        # podman's lock: fcntl(2) on a file beside it, which stays.
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            _write(path, {**_read(path), name: target})
        finally:
            os.close(lock)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot record alias: {path}: {reason}", path=path) from error


def _read(path: str) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file).get("aliases", {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfigError(path, "", str(error), hint=f"mend it, or remove {path}") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidConfigError(path, "/aliases", "no table of names", hint=f"mend it, or remove {path}")
    return found


def _write(path: str, aliases: dict[str, str]) -> None:
    # A JSON string is one of TOML, too.
    text = "[aliases]\n" + "".join(f"  {json.dumps(key)} = {json.dumps(value)}\n" for key, value in aliases.items())
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with open(fd, "wb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
