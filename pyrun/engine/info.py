"""``pyrun info``: what this pyrun is, where it keeps things, and what this machine allows it.

Nothing here is guessed: features are tried (linux/probe.py), counts are read. It must not print.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

import pyrun
from pyrun.engine import root_choice
from pyrun.engine.registry_info import RegistryInfo, registry_info
from pyrun.engine.system_info import system_info
from pyrun.errors import FeatureMissingError
from pyrun.linux import capabilities, probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.linux.probe import Features
    from pyrun.store.layout import Layout


class Info:
    """The result: rows to show in order, what is set for registries, features, and the store's paths."""

    __slots__ = ("features", "paths", "registries", "rows", "versions")

    def __init__(
        self,
        rows: list[tuple[str, str]],
        registries: RegistryInfo,
        features: Features,
        paths: dict[str, str],
        versions: dict[str, str],
    ) -> None:
        self.rows = rows
        self.registries = registries
        self.features = features
        self.paths = paths
        self.versions = versions

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for ``--format json``."""
        features = [
            {"name": f.name, "ok": f.ok, "detail": f.detail, "instead": f.instead, "remedy": f.remedy}
            for f in self.features
        ]
        rows = dict(self.rows)
        shown = system_info(rows, self.features, _memory(), self.versions["pyrun"], self.registries.config)
        return {
            **shown,
            **{name: value for name, value in rows.items() if name not in shown and name[0] != " "},
            "Features": features,
            "Paths": self.paths,
            "Versions": self.versions,
        }


def info(layout: Layout) -> Info:
    """Return what ``pyrun info`` shows; every feature is tried anew."""
    features = probe.features(layout, refresh=True)
    rows = [*_counts(layout), ("Server Version", pyrun.__version__), *_mechanisms(layout, features), *_machine()]
    rows.append(("Root Dir", layout.root))
    paths = {
        "root": layout.root,
        "runtime": layout.runtime,
        "images": layout.images,
        "layers": layout.layers,
        "containers": layout.containers,
        "volumes": layout.volumes,
        "cache": layout.cache,
    }
    return Info(rows, registry_info(), features, paths, _versions())


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []  # nothing was ever written there


def _counts(layout: Layout) -> list[tuple[str, str]]:
    statuses = [_status(path) for path in _container_directories(layout)]
    running = statuses.count("running")
    created = statuses.count("created")
    paused = statuses.count("paused")
    return [
        ("Containers", str(len(statuses))),
        (" Running", str(running)),
        (" Paused", str(paused)),
        (" Created", str(created)),
        (" Stopped", str(len(statuses) - running - paused - created)),
        ("Images", str(len(_entries(layout.images)))),
        ("Volumes", str(len(_entries(layout.volumes)))),
    ]


def _container_directories(layout: Layout) -> list[str]:
    return [f"{parent}/{name}" for parent in (layout.containers, layout.ephemeral) for name in _entries(parent)]


def _status(path: str) -> str:
    # Imported here: runtime/ is a sibling that `info` needs for one line.
    from pyrun.runtime import state

    return str(state.status(path).word)


def _mechanisms(layout: Layout, features: Features) -> list[tuple[str, str]]:
    """Say which way each thing goes here, in the order in which pyrun would try them."""
    refused = root_choice.in_use(layout)
    untried = "overlay userxattr" not in {feature.name for feature in features}
    if refused:
        overlay = refused
    elif untried:  # it is tried in a user namespace
        overlay = f"unknown (user namespaces: {features['user namespaces'].detail})"
    elif features.ok("overlay lowerdir+"):
        overlay = "overlay (fsconfig lowerdir+)"
    elif features.ok("overlay userxattr"):
        overlay = "overlay (mount(2))"
    elif features.ok("fuse-overlayfs") and features.ok("/dev/fuse"):
        overlay = f"fuse-overlayfs (overlay: {features['overlay userxattr'].detail})"
    else:
        overlay = f"copied tree (overlay: {features['overlay userxattr'].detail})"
    networks = ["none", "host"]
    if features.ok("/dev/net/tun"):
        networks[:0] = [name for name in ("pasta", "slirp4netns") if features.ok(name)][:1]
    return [
        ("Storage Driver", overlay),
        ("Logging Driver", "json-file"),
        ("Cgroup Driver", "cgroupfs" if features.ok("cgroup delegation") else "none"),
        ("Id Map", _id_map(features)),
        ("Network", ", ".join(networks)),
        ("Cgroup Version", "2" if features.ok("cgroup delegation") else "none delegated"),
        ("Pause", "cgroup freezer" if features.ok("freezer") else "signals (SIGSTOP)"),
        ("Security Options", ", ".join(_security(features))),
        ("Default Capabilities", " ".join(name[4:].lower() for name in capabilities.names(capabilities.DEFAULT))),
    ]


def _id_map(features: Features) -> str:
    if os.geteuid() == 0:
        return "none (root: ids are the machine's own)"
    if not features.ok("user namespaces"):
        return f"none (user namespaces: {features['user namespaces'].detail})"
    return "full (subordinate ids)" if features.ok("full id map") else "single id"


def _security(features: Features) -> list[str]:
    options = ["seccomp (profile: default)"] if features.ok("seccomp") else []
    options.append("rootless" if os.geteuid() else "rootful")
    options += ["cgroupns"] if features.ok("cgroup namespace") else []
    return options


def _machine() -> list[tuple[str, str]]:
    name = os.uname()
    return [
        ("Kernel Version", name.release),
        ("Operating System", _os_release("PRETTY_NAME")),
        ("OS Version", _os_release("VERSION_ID")),
        ("OSType", name.sysname.lower()),
        ("Architecture", name.machine),
        ("CPUs", str(len(os.sched_getaffinity(0)))),
        ("Total Memory", f"{_memory() / 2**30:.4g}GiB"),
        ("Name", name.nodename),
    ]


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _os_release(key: str) -> str:
    try:
        return platform.freedesktop_os_release().get(key, "unknown")
    except OSError:
        return "unknown"


def _versions() -> dict[str, str]:
    return {
        "pyrun": pyrun.__version__,
        "python": platform.python_version(),
        "libseccomp": _version_of_libseccomp(),
        "runtime-spec": "1.2",
    }


def _version_of_libseccomp() -> str:
    from pyrun.linux import seccomp_compile

    version: Callable[[], str] = seccomp_compile.library_version
    try:
        return version()
    except FeatureMissingError as error:
        return f"missing: {error.message}"
