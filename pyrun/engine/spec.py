"""Build a container's config.json: docker's defaults in the words of the OCI runtime-spec.

It must not know options or images, only what was decided from them. Source: moby daemon/pkg/oci/defaults.go (mounts,
masked and read-only paths); OCI runtime-spec 1.2 config.md.
"""

from __future__ import annotations

from pyrun.engine import filters
from pyrun.linux import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.volumes.spec import MountSpec

MASKED_PATHS = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
]  # fmt: skip
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# The annotation that says: HOME is the user's own, not one that the image or a flag gave: `exec -u` has another.
HOME_ANNOTATION = "org.pyrun.home"


class Mounts:
    """A container's own mounts, decided (engine/mounts.py, which a container without any does not load).

    ``oci``: for config.json; ``shown``: for inspect; ``anonymous``: volumes made for it.
    """

    __slots__ = ("anonymous", "oci", "shown", "specs")

    def __init__(self) -> None:
        self.specs: list[MountSpec] = []
        self.anonymous: list[str] = []
        self.oci: list[dict[str, Any]] = []
        self.shown: list[dict[str, Any]] = []


class Decisions:
    """What `run` has decided; see the field's own words in `build`."""

    __slots__ = (
        "additional_gids", "annotations", "args", "capabilities", "cwd", "domainname", "env", "gid", "gid_extents",
        "home", "hostname", "mounts", "namespaces", "no_new_privs", "omitted", "oom_score_adj", "privileged",
        "readonly", "rlimits", "seccomp", "shared", "shm_bytes", "sysctls", "terminal", "uid", "uid_extents",
        "unmasked",
    )  # fmt: skip

    def __init__(self) -> None:
        self.annotations: dict[str, str] = {}
        self.args: list[str] = []
        self.env: list[str] = []
        self.cwd = "/"
        self.home = ""  # set where HOME comes from the user's entry in passwd
        self.uid = self.gid = 0
        # None: leave the supplementary groups as they are (setgroups is denied in a single-id map).
        self.additional_gids: list[int] | None = []
        self.capabilities = 0
        self.no_new_privs = self.privileged = self.readonly = self.terminal = self.unmasked = False
        self.hostname = self.domainname = ""
        self.mounts: list[dict[str, Any]] = []
        self.namespaces: list[str] = []
        self.omitted: tuple[str, ...] = ()  # destinations of default mounts that there shall not be
        self.rlimits: list[dict[str, Any]] = []
        self.oom_score_adj: int | None = None
        self.seccomp = "default"
        self.shared: dict[str, str] = {}  # types of namespaces -> the directory of the container whose they are
        self.shm_bytes = 64 << 20
        self.sysctls: dict[str, str] = {}
        self.uid_extents: list[tuple[int, int, int]] = []
        self.gid_extents: list[tuple[int, int, int]] = []


def build(decided: Decisions) -> dict[str, Any]:
    """Return config.json."""
    held = capabilities.names(decided.capabilities)
    # A program that is not root gets none of them at execve(2); inheritable stays empty (CVE-2022-24769).
    config: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": decided.terminal,
            "user": _user(decided),
            "args": decided.args,
            "env": decided.env,
            "cwd": decided.cwd,
            "capabilities": {"bounding": held, "effective": held, "permitted": held},
            "rlimits": decided.rlimits,
            "noNewPrivileges": decided.no_new_privs,
        },
        "root": {"path": "rootfs", "readonly": decided.readonly},
        "hostname": decided.hostname,
        "mounts": _mounts(decided),
        "linux": {
            "namespaces": [_namespace(kind, decided.shared.get(kind)) for kind in decided.namespaces],
            "uidMappings": _mappings(decided.uid_extents),
            "gidMappings": _mappings(decided.gid_extents),
            "sysctl": decided.sysctls,
            "maskedPaths": [] if decided.unmasked else MASKED_PATHS,
            "readonlyPaths": [] if decided.unmasked else READONLY_PATHS,
        },
        "annotations": {**decided.annotations, filters.ANNOTATION: decided.seccomp, HOME_ANNOTATION: decided.home},
    }
    if decided.domainname:
        config["domainname"] = decided.domainname
    if decided.oom_score_adj is not None:
        config["process"]["oomScoreAdj"] = decided.oom_score_adj
    return config


def _user(decided: Decisions) -> dict[str, Any]:
    user: dict[str, Any] = {"uid": decided.uid, "gid": decided.gid, "umask": 0o022}
    if decided.additional_gids is not None:
        # runc does the same: the primary group is among the supplementary ones, as login(1) would have it.
        user["additionalGids"] = [decided.gid, *decided.additional_gids]
    return user


def _namespace(kind: str, path: str | None) -> dict[str, str]:
    return {"type": kind} if path is None else {"type": kind, "path": path}


def _mappings(extents: list[tuple[int, int, int]]) -> list[dict[str, int]]:
    return [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in extents]


def _mounts(decided: Decisions) -> list[dict[str, Any]]:
    """Docker's mounts in their order, then the device nodes, then the container's own (deeper ones last)."""
    readonly = [] if decided.privileged else ["ro"]
    mounts = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "nodev", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", *readonly),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", *readonly),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount(
            "/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={decided.shm_bytes // 1024}k"
        ),
    ]
    # A user namespace may not mknod(2): the host's nodes, one by one, and no others. Read-only devices can be written;
    # their mode and owner cannot be changed, which by a container of root's would be the host's.
    mounts += [_mount(f"/dev/{name}", "bind", f"/dev/{name}", "bind", "nosuid", "noexec", "ro") for name in _DEVICES]
    if decided.privileged:
        mounts += [_mount(path, "bind", path, "bind") for path in _host_devices()]
    own = {*decided.omitted, *(mount["destination"] for mount in decided.mounts)}
    mounts = [mount for mount in mounts if mount["destination"] not in own]
    return mounts + sorted(decided.mounts, key=lambda mount: str(mount["destination"]).count("/"))


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _host_devices() -> list[str]:
    """Device nodes directly under /dev that the user can open: what --privileged adds."""
    import os
    import stat

    found = []
    with os.scandir("/dev") as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            is_device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
            if is_device and entry.name not in _DEVICES and os.access(entry.path, os.R_OK) and entry.name != "console":
                found.append(entry.path)
    return sorted(found)
