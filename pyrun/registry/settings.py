"""The settings of registries as plain data: which files have them, and a parsed copy for those who cannot wait.

It must not know what they mean (config.py, short_names.py) nor the files' formats (config_parse.py). Hot: `run` comes
here with every short name, and parsing TOML costs 12 ms.
Sources: containers-registries.conf(5), containers-registries.conf.d(5), dockerd "Daemon configuration file".
"""

from __future__ import annotations

import os

from pyrun.oci import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Stamp = list[list[str | int]]

MAIN = "main"
DROP_IN = "drop-in"
RECORDED = "recorded"  # what podman has asked its user about: aliases, before all others
DAEMON = "daemon"
MAIN_VARIABLE = "CONTAINERS_REGISTRIES_CONF"
SYSTEM = "/etc"
_SETTLED_NANOSECONDS = 2_000_000_000


def load(cache: str = "") -> tuple[dict[str, Any], list[str]]:
    """Give the user's merged settings and the files they are from; ``cache``: a file that keeps them parsed.

    Raises: InvalidConfigError (file, key, reason); StoreError for a file that cannot be read.
    """
    global _loaded
    listed = _files()
    stamp = _stamp(listed)
    if not stamp and not os.environ.get(MAIN_VARIABLE):
        return _NOTHING, []
    if _loaded is not None and _loaded[0] == stamp:
        return _loaded[1:]
    data = _cached(cache, stamp) if cache else None
    if data is None:
        from pyrun.registry import config_parse

        data = config_parse.parse(listed)
        if cache and _is_settled(stamp):
            _keep(cache, {"stamp": stamp, "settings": data})
    _loaded = (stamp, data, [str(row[1]) for row in stamp])
    return _loaded[1:]


_loaded: tuple[Stamp, dict[str, Any], list[str]] | None = None
_NOTHING: dict[str, Any] = {
    "registries": [], "search": [], "search_file": "", "mode": "", "aliases": {}, "helpers": [], "hub_mirrors": [],
    "insecure": [],
}  # fmt: skip


def _cached(cache: str, stamp: Stamp) -> dict[str, Any] | None:
    try:
        with open(cache, "rb") as file:
            document = json.loads(file.read())
        settings: dict[str, Any] = document["settings"]
        # The defaults: an older pyrun may have kept less.
        return {**_NOTHING, **settings} if document["stamp"] == stamp else None
    except (OSError, ValueError, LookupError, TypeError):
        return None  # none yet, or not ours: it is made anew


def _is_settled(stamp: Stamp) -> bool:
    """Say whether no file was written just now: a second change in the same tick of the clock would not show."""
    import time

    now = time.time_ns()
    return all(now - int(row[2]) > _SETTLED_NANOSECONDS for row in stamp)


def _keep(cache: str, document: dict[str, Any]) -> None:
    temporary = f"{cache}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return  # no such directory, or a full disk: it is parsed again next time
    try:
        os.write(fd, json.dumps(document).encode())
        os.rename(temporary, cache)
    except OSError:
        os.unlink(temporary)
    finally:
        os.close(fd)


def _files() -> list[tuple[str, str]]:
    """List (kind, path) in the order in which they are read; a later one wins. Only the drop-ins are known to exist."""
    system = f"{SYSTEM}/containers/registries.conf"
    users = [f"{config}/containers/registries.conf" for config in config_homes()]
    given = os.environ.get(MAIN_VARIABLE, "")
    own = "" if given else next(filter(os.path.exists, users), "")
    main = given or own or system
    # containers-registries.conf.d(5): with a file of the user's, only the user's drop-ins count.
    directories = [f"{path}.d" for path in (*([] if own else [system]), *reversed(users))]
    rootless = f"{config_homes()[-1]}/docker/daemon.json"
    daemon = rootless if os.path.exists(rootless) else f"{SYSTEM}/docker/daemon.json"
    return [
        (DAEMON, daemon),
        (MAIN, main),
        *((DROP_IN, path) for directory in directories for path in _drop_ins(directory)),
        (RECORDED, recorded_path()),
    ]


def config_homes() -> list[str]:
    """List the directories of a user's configuration, the first wins.

    podman 4 reads ~/.config alone, whatever XDG_CONFIG_HOME says: what is forbidden there must not be hidden by it.
    """
    return list(dict.fromkeys([f"{os.environ.get('HOME', '')}/.config", _user_directory("XDG_CONFIG_HOME", ".config")]))


def recorded_path() -> str:
    """Return the file of aliases that users have chosen when they were asked."""
    cache = "/var/cache" if os.geteuid() == 0 else _user_directory("XDG_CACHE_HOME", ".cache")
    return f"{cache}/containers/short-name-aliases.conf"


def _stamp(listed: list[tuple[str, str]]) -> Stamp:
    """Describe the files that exist so that a change of any of them shows."""
    found: Stamp = []
    for kind, path in listed:
        try:
            status = os.stat(path)
        except OSError:
            if kind == DROP_IN:  # a link to nowhere: parsing says so, also where there is no other file
                found.append([kind, path, 0, 0, 0])
            continue
        found.append([kind, path, status.st_mtime_ns, status.st_size, status.st_ino])
    return found


def _user_directory(variable: str, below_home: str) -> str:
    # XDG base directory specification: a relative path is to be ignored.
    given = os.environ.get(variable, "")
    return given.rstrip("/") if given.startswith("/") else f"{os.environ.get('HOME', '')}/{below_home}"


def _drop_ins(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        from pyrun.errors import StoreError

        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot read registry configuration: {directory}: {reason}", path=directory) from error
    paths = [f"{directory}/{name}" for name in sorted(names) if name.endswith(".conf")]
    return [path for path in paths if not os.path.isdir(path)]
