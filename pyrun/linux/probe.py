"""What this machine allows, found out by trying it: never guessed from a version.

It must not know containers; engine/info.py shows what this module returns. Cold: the answers are cached on disk,
keyed by boot, user, kernel, pyrun and the files that decide about id maps. What depends on the calling process
(no_new_privs, cgroup, keyring quota) is asked every time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import TYPE_CHECKING, Protocol

import pyrun
from pyrun.linux import probe_advice, probe_host, probe_namespace
from pyrun.linux.probe_calls import message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.linux.probe_calls import Outcome

_NO_ROOM = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS))


class Paths(Protocol):
    """The part of the store's layout that is needed: where to cache, and on which file system to try overlay."""

    cache: str


class Feature:
    """One thing a kernel or place can refuse: is it there, what was seen, what is used instead, what would mend it."""

    __slots__ = ("detail", "instead", "name", "ok", "remedy")

    def __init__(self, name: str, ok: bool, detail: str, instead: str = "", remedy: str = "") -> None:
        self.name = name
        self.ok = ok
        self.detail = detail
        self.instead = instead
        self.remedy = remedy

    def __repr__(self) -> str:
        return f"Feature({self.name!r}, ok={self.ok}, {self.detail!r})"


class Features:
    """All features, in the order in which they are shown."""

    __slots__ = ("_by_name",)

    def __init__(self, features: list[Feature]) -> None:
        self._by_name = {feature.name: feature for feature in features}

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Feature:
        return self._by_name[name]

    def ok(self, name: str) -> bool:
        """Say whether a feature is there; a name that was not probed is not."""
        feature = self._by_name.get(name)
        return feature is not None and feature.ok


def features(layout: Paths, *, refresh: bool = False) -> Features:
    """Return what this machine allows this user; `refresh` tries everything anew (`pyrun info` does).

    Makes `layout.cache`, tries overlay below it, and leaves there the cache file alone.
    """
    path = f"{layout.cache}/probe.json"
    key = _key()
    outcomes = None if refresh else _read(path, key)
    if outcomes is None:
        outcomes = _try_all(layout.cache)
        if any(detail.endswith(_NO_ROOM) for _, detail in outcomes.values()):
            # A full disk says nothing of the machine: what was found before it still holds.
            outcomes = _read(path, key) or outcomes
        else:
            _write(path, key, outcomes)
    outcomes = {**outcomes, **_of_this_process()}
    return Features(
        [
            Feature(name, *outcomes[name], *probe_advice.advice(name, outcomes))
            for name in [*probe_advice.ORDER, *sorted(outcomes.keys() - set(probe_advice.ORDER))]
            if name in outcomes
        ]
    )


def _try_all(directory: str) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {
        "newuidmap": probe_host.id_map_helper("newuidmap"),
        "newgidmap": probe_host.id_map_helper("newgidmap"),
        "subordinate uids": probe_host.subordinate_ids("subuid"),
        "subordinate gids": probe_host.subordinate_ids("subgid"),
        "seccomp": probe_host.seccomp(),
        "landlock": probe_host.landlock(),
        "openat2": probe_host.openat2(),
        "clone3": probe_host.clone3(),
        "python-prctl": probe_host.python_prctl(),
    }
    for name in ("pasta", "slirp4netns", "fuse-overlayfs"):
        outcomes[name] = probe_host.program(name)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _remove_remains(directory)
        outcomes |= probe_namespace.run(f"{directory}/probe.{os.getpid()}", probe_host.map_ids)
    except OSError as error:
        outcomes["user namespaces"] = (False, f"not tried: {message(error)}")
    return outcomes


def _remove_remains(directory: str) -> None:
    """Remove what a probe that was killed left behind."""
    for name in os.listdir(directory):
        pid = name.removeprefix("probe.")
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            probe_namespace.remove(f"{directory}/{name}")


def _of_this_process() -> dict[str, Outcome]:
    return {
        "no_new_privs": probe_host.no_new_privileges(),
        "cgroup delegation": probe_host.cgroup_delegation(),
        "freezer": probe_host.freezer(),
        "session keyring": probe_host.session_keyring(),
    }


def _key() -> list[str]:
    """Return what the answers hold for; mending any of it must not need a reboot to be seen."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    decisive = ["/etc/subuid", "/etc/subgid", "/dev/net/tun", "/dev/fuse"]
    decisive += [f"{d}/{p}" for d in os.environ.get("PATH", "").split(":") for p in probe_advice.PROGRAMS]
    knobs = [f"{knob}={probe_host.sysctl(knob)}" for knob in probe_advice.USERNS_KNOBS]
    return [boot, str(os.getuid()), os.uname().release, pyrun.__version__, *knobs, *map(_state, decisive)]


def _state(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{path} {status.st_ino} {status.st_mode:o} {status.st_ctime_ns}"


def _read(path: str, key: list[str]) -> dict[str, Outcome] | None:
    try:
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
        if stored["key"] != key:
            return None
        return {str(name): (bool(ok), str(detail)) for name, (ok, detail) in stored["outcomes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing, torn or of another version: try again


def _write(path: str, key: list[str], outcomes: dict[str, Outcome]) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):  # a cache: a full disk costs time only
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"key": key, "outcomes": outcomes}, file)
        os.rename(temporary, path)
