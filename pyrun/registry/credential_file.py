"""One file of credentials, docker's config.json or podman's auth.json: what it says, and changes that keep the rest.

It must not know which file counts (credentials.py). Sources: docker-login(1), containers-auth.json(5).
"""

from __future__ import annotations

import fcntl
import os
from typing import Any

from pyrun.errors import InvalidConfigError, StoreError
from pyrun.oci import json
from pyrun.registry.url import DOCKER_HUB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_HUB_ALIASES = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
LEGACY_NAME = ".dockercfg"  # before docker 1.7: the entries alone


def read(file: str) -> dict[str, Any]:
    """Read a file; an empty object if there is none. Raises: InvalidConfigError; StoreError if it cannot be read."""
    try:
        with open(file, "rb") as stream:
            data = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot read credentials: {file}: {reason}", path=file) from error
    return parse(file, data)


def parse(file: str, data: bytes) -> dict[str, Any]:
    """Read what is in a file of that name. Raises: InvalidConfigError."""
    if not data.strip():
        return {}  # docker takes an empty file as a fresh one
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidConfigError(file, "", str(error), hint="mend the file, or move it away and log in again") from None
    if not isinstance(document, dict):
        raise InvalidConfigError(file, "", "expected an object")
    if os.path.basename(file) == LEGACY_NAME:
        return {"auths": document}
    for key in ("auths", "credHelpers"):  # of another form, a login would replace what somebody has meant by it
        if not isinstance(document.get(key) or {}, dict):
            raise InvalidConfigError(file, f"/{key}", "expected an object")
    return document


def update(file: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Read a file, let ``change`` change the document, and write it by rename; two of us at once wait for each other.

    Raises: as `read`; StoreError if it cannot be written.
    """
    file = os.path.realpath(file)  # a link into a dotfiles repository stays a link
    try:
        directory = os.path.dirname(file)
        os.makedirs(directory, 0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _lock(lock):
                _remove_leftovers(file)
            document = read(file)
            change(document)
            _write(file, document)
        finally:
            os.close(lock)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot write credentials: {file}: {reason}", path=file) from error


def auths_of(document: dict[str, Any]) -> dict[str, Any]:
    """Give the entries by registry."""
    auths = document.get("auths")
    return auths if isinstance(auths, dict) else {}


def normal(key: str) -> str:
    """Bring a key (``https://host/v1/``, ``host/namespace``) to ``domain[/path]``."""
    host, _, path = key.partition("://")[2].partition("/") if "://" in key else key.partition("/")
    path = path.strip("/")
    if host in _HUB_ALIASES:
        host = DOCKER_HUB
    return host if path in ("", "v1", "v2") else f"{host}/{path}"


def keys_of(auths: dict[str, Any], name: str) -> list[str]:
    """List every spelling of a registry (or a namespace of one) among the entries."""
    return [key for key in auths if normal(key) == name]


def helper_of(document: dict[str, Any], domain: str) -> str:
    """Give the name of the helper that keeps a registry's credentials, if one does."""
    helpers = document.get("credHelpers")
    if isinstance(helpers, dict):
        for key, name in helpers.items():
            if normal(key) == domain and isinstance(name, str):
                return name
    name = document.get("credsStore")
    return name if isinstance(name, str) else ""


def _lock(directory_fd: int) -> bool:
    # The directory itself: a lock file would stay in the user's directory, and the file is replaced by its rename.
    try:
        fcntl.flock(directory_fd, fcntl.LOCK_EX)
    except OSError:
        return False  # NFS takes no exclusive lock on what is open for reading: then the rename alone must do
    return True


def _remove_leftovers(file: str) -> None:
    """Remove the secrets that somebody killed before the rename has left: who writes holds the lock, so he is dead."""
    directory, name = os.path.split(file)
    for found in os.listdir(directory):
        if found.startswith(f"{name}.") and found.endswith(".tmp") and found[len(name) + 1 : -4].isdigit():
            os.unlink(f"{directory}/{found}")


def _write(file: str, document: dict[str, Any]) -> None:
    from json import dumps  # login only: docker indents this file with tabs, and people edit it

    try:
        data = dumps(document, indent="\t", ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 cannot hold
        data = dumps(document, indent="\t").encode()
    temporary = f"{file}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(fd)
        os.rename(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
