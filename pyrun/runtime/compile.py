"""Compile a bundle (OCI config.json, rootfs.json) to a plan.

It must not know images, options or the command line: only the runtime-spec. Order of the steps:
docstring of `compile_start`.
Source: OCI runtime-spec 1.2 config.md, config-linux.md.
"""

from __future__ import annotations

from pyrun.errors import InvalidConfigError
from pyrun.linux.capabilities import mask
from pyrun.runtime import plan as p
from pyrun.runtime.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    # Where, where it is bound as well, what, mode, uid, gid.
    Secret = tuple[str, str | None, bytes, int, int, int]

NAMESPACES = {
    "user": 0x10000000, "pid": 0x20000000, "mount": 0x00020000, "ipc": 0x08000000, "uts": 0x04000000,
    "network": 0x40000000, "cgroup": 0x02000000, "time": 0x00000080,
}  # fmt: skip
# asm-generic/resource.h; alphabetical as in the spec's names.
RLIMITS = {
    "RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}  # fmt: skip
_ATTRIBUTES = {
    "ro": p.ATTR_RDONLY, "nosuid": p.ATTR_NOSUID, "nodev": p.ATTR_NODEV, "noexec": p.ATTR_NOEXEC,
    "strictatime": p.ATTR_STRICTATIME, "rw": 0, "suid": 0, "dev": 0, "exec": 0, "relatime": 0, "bind": 0, "rbind": 0,
}  # fmt: skip
_PROPAGATION = {
    "private": p.MS_PRIVATE, "rprivate": p.MS_PRIVATE, "slave": p.MS_SLAVE, "rslave": p.MS_SLAVE,
    "shared": p.MS_SHARED, "rshared": p.MS_SHARED,
}  # fmt: skip
# Docker's defaults, which an older kernel may lack; they only widen, so they may be missing.
_DEFAULT_SYSCTLS = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range")
_DEV_LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
              ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"), ("core", "/proc/kcore"))  # fmt: skip


def clone_flags(config: dict[str, Any]) -> int:
    """Return the CLONE_NEW* flags of the namespaces that the config makes anew."""
    return sum(NAMESPACES[item["type"]] for item in config["linux"]["namespaces"] if "path" not in item)


def exec_flags(config: dict[str, Any]) -> int:
    """Return the CLONE_NEW* flags of the namespaces that a further process enters: all but the host's."""
    return sum(NAMESPACES[item["type"]] for item in config["linux"]["namespaces"])


def shared(config: dict[str, Any]) -> dict[str, int]:
    """Return whose namespaces the container shares: their CLONE_NEW* flags by directory of the other container.

    A namespace's ``path`` is that directory: its init is found at the start (native/monitor/share.c).
    """
    flags: dict[str, int] = {}
    for item in config["linux"]["namespaces"]:
        if "path" in item:
            flags[item["path"]] = flags.get(item["path"], 0) | NAMESPACES[item["type"]]
    return flags


def lacks_user(config: dict[str, Any]) -> bool:
    """Whether the map leaves out the user himself, 0 of the engine namespace: nobody inside is him."""
    maps = config["linux"].get("uidMappings") or ()
    return bool(maps) and all(item["hostID"] for item in maps)


def compile_start(
    config: dict[str, Any], rootfs: dict[str, Any], mount_point: str, filters: list[bytes], *, init: bool, wait: bool,
    secrets: Iterable[Secret] = (),
) -> Plan:  # fmt: skip
    """Return the plan of a container's first process.

    Root, its mounts in the config's order, what is masked or read-only, pivot; then the process: session, limits, the
    wait for the network, ids, capabilities, filters, program. ``filters``: seccomp programs, first installed first.
    """
    plan = Plan()
    process = config["process"]
    user = process["user"]
    plan.add(p.OP_PROPAGATION, a=p.MS_REC | p.MS_SLAVE)
    plan.add(p.OP_KEYRING, a=1 if filters else 0)
    opened = p.OPEN_FIRST if lacks_user(config) else 0
    add_root(plan, rootfs, mount_point, opened)
    maps = config["linux"].get("uidMappings") or [{"containerID": 0, "hostID": 0}]
    if (
        not any(item["containerID"] == 0 and item["hostID"] == 0 for item in maps)
        and rootfs.get("form", "flat") != "flat"
        and not opened  # there the upper directory is its own
    ):
        plan.add(p.OP_OWN_ROOT)
    for mount in config["mounts"]:
        add_mount(plan, mount, opened)
    _secrets(plan, secrets)
    for name, target in _DEV_LINKS:
        plan.add(p.OP_SYMLINK, target, f"/dev/{name}")
    if process.get("terminal"):
        plan.add(p.OP_CONSOLE, a=1 | _console_size(process), b=user["uid"])
    if config["process"]["cwd"] != "/":
        plan.add(p.OP_MKDIR, process["cwd"], a=0o755)
    linux = config["linux"]
    for name, value in (linux.get("sysctl") or {}).items():
        flags = p.IGNORE_MISSING if name in _DEFAULT_SYSCTLS else 0
        plan.add(p.OP_SYSCTL, "/proc/sys/" + name.replace(".", "/"), value, flags=flags)
    for path in linux.get("maskedPaths") or ():
        plan.add(p.OP_MASK, path, flags=p.IGNORE_MISSING)
    for path in linux.get("readonlyPaths") or ():
        plan.add(p.OP_READONLY, path, flags=p.IGNORE_MISSING)
    if config["root"].get("readonly"):
        plan.add(p.OP_ROOT_READONLY)
    plan.add(p.OP_PIVOT)
    kinds = [namespace["type"] for namespace in linux["namespaces"] if "path" not in namespace]
    if "uts" in kinds:
        plan.add(p.OP_HOSTNAME, config.get("hostname"), config.get("domainname"))
    if "network" in kinds:
        plan.add(p.OP_LOOPBACK_UP)
    plan.add(p.OP_SESSION)
    if wait:
        plan.add(p.OP_SYNC)
    _process(plan, process, filters, init=init, dies_with_parent="pid" not in kinds)
    return plan


def _secrets(plan: Plan, secrets: Iterable[Secret]) -> None:
    mounted = ""
    for path, place, content, mode, uid, gid in secrets:
        directory = "/".join(path.split("/")[:3])
        if directory != mounted:
            plan.add(
                p.OP_FSMOUNT, "tmpfs", directory, ["mode=0755"],
                a=p.ATTR_NOSUID | p.ATTR_NODEV | p.ATTR_NOEXEC, count=1,
            )  # fmt: skip
            mounted = directory
        parent = path.rpartition("/")[0]
        if parent != directory:
            plan.add(p.OP_MKDIR, parent, a=0o755)
        plan.add(p.OP_SECRET, path, content, place, a=mode | len(content) << 16, b=uid | gid << 32)


def _console_size(process: dict[str, Any]) -> int:
    size = process.get("consoleSize") or {"height": 0, "width": 0}
    return int(size["height"]) << 16 | int(size["width"]) << 32


def compile_exec(process: dict[str, Any], filters: list[bytes]) -> Plan:
    """Return the plan of a further process in a running container."""
    plan = Plan()
    plan.add(p.OP_KEYRING, a=1 if filters else 0)
    if process.get("terminal"):
        plan.add(p.OP_CONSOLE, a=_console_size(process), b=process["user"]["uid"])
    plan.add(p.OP_SESSION)
    _process(plan, process, filters, init=False)
    return plan


def add_root(plan: Plan, rootfs: dict[str, Any], mount_point: str, opened: int = 0) -> None:
    """Add the step that makes the root file system."""
    if "tree" in rootfs:
        plan.add(p.OP_ROOT_BIND, rootfs["tree"], flags=opened)
        return
    if "fuse" in rootfs:
        plan.add(p.OP_FUSE_OVERLAY, mount_point, rootfs["fuse"], fuse_options(rootfs))
        return
    lowers = rootfs["lowerdirs"]
    plan.add(
        p.OP_OVERLAY, mount_point, lowers, rootfs["upper"], rootfs["work"],
        a=p.OVERLAY_VOLATILE if rootfs.get("volatile") else 0, count=len(lowers), flags=opened,
    )  # fmt: skip


def fuse_options(rootfs: dict[str, Any]) -> str:
    """Return what fuse-overlayfs is told after -o (fuse-overlayfs(1))."""
    text = f"lowerdir={':'.join(rootfs['lowerdirs'])},upperdir={rootfs['upper']},workdir={rootfs['work']}"
    return text + ",volatile" if rootfs.get("volatile") else text


def add_mount(plan: Plan, mount: dict[str, Any], opened: int = 0) -> None:
    """Add the steps of one of the config's mounts."""
    destination, kind = mount["destination"], mount.get("type", "none")
    attributes, propagation, data, bind = _options(mount.get("options") or ())
    if bind or kind == "bind":
        recursive = p.BIND_RECURSIVE if bind != "bind" else 0
        plan.add(p.OP_BIND, mount["source"], destination, a=attributes, b=recursive, count=propagation, flags=opened)
        return
    if kind == "peer":
        plan.add(p.OP_BIND_PEER, mount["source"], destination, a=attributes)
        return
    if kind == "cgroup":
        kind = "cgroup2"
    fallback = _FALLBACKS.get(kind)
    plan.add(p.OP_FSMOUNT, kind, destination, data, a=attributes, count=len(data), flags=p.OR_ELSE if fallback else 0)
    if fallback is not None:
        fallback(plan, destination, attributes, data)


def _bind_host(source: str) -> Any:
    # A procfs or sysfs that is partly hidden (inside docker) cannot be mounted anew, sysfs not without an own network
    # namespace: then the host's own, as much of it as we see (mount_namespaces(7), "mount_too_revealing").
    def fallback(plan: Plan, destination: str, attributes: int, data: list[str]) -> None:
        plan.add(p.OP_BIND, source, destination, a=attributes, b=p.BIND_RECURSIVE, count=p.MS_SLAVE)

    return fallback


def _devpts_without_gid(plan: Plan, destination: str, attributes: int, data: list[str]) -> None:
    # gid 5 (tty) has no meaning in a single-id map: EINVAL.
    rest = [option for option in data if not option.startswith("gid=")]
    plan.add(p.OP_FSMOUNT, "devpts", destination, rest, a=attributes, count=len(rest))


def _empty_tmpfs(plan: Plan, destination: str, attributes: int, data: list[str]) -> None:
    plan.add(p.OP_FSMOUNT, "tmpfs", destination, ["mode=0755"], a=attributes, count=1)


_FALLBACKS = {
    "proc": _bind_host("/proc"),
    "sysfs": _bind_host("/sys"),
    "devpts": _devpts_without_gid,
    "cgroup2": _empty_tmpfs,
    "mqueue": _empty_tmpfs,
}


def _options(options: Any) -> tuple[int, int, list[str], str]:
    """Sort mount options: attributes, propagation, the file system's own, and "bind", "rbind" or ""."""
    attributes = propagation = 0
    data: list[str] = []
    bind = ""
    for option in options:
        if option in ("bind", "rbind"):
            bind = option
        if option in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option]
        elif option in _PROPAGATION:
            propagation = _PROPAGATION[option]
        else:
            data.append(option)
    return attributes, propagation, data, bind


def _process(
    plan: Plan, process: dict[str, Any], filters: list[bytes], *, init: bool, dies_with_parent: bool = False
) -> None:
    user = process["user"]
    capabilities = process.get("capabilities") or {}
    sets = {
        name: mask(capabilities.get(name) or ())
        for name in ("bounding", "permitted", "effective", "inheritable", "ambient")
    }
    no_new_privs = bool(process.get("noNewPrivileges"))
    if process.get("oomScoreAdj") is not None:
        plan.add(p.OP_OOM_SCORE, str(process["oomScoreAdj"]), flags=p.OPEN_FIRST)
    for limit in process.get("rlimits") or ():
        if limit["type"] not in RLIMITS:
            raise InvalidConfigError("config.json", "/process/rlimits", f"unknown limit {limit['type']}")
        plan.add(p.OP_RLIMIT, a=_limit(limit["soft"]), b=_limit(limit["hard"]), count=RLIMITS[limit["type"]])
    plan.add(p.OP_UMASK, a=user.get("umask", 0o022))
    plan.add(p.OP_BOUNDING, a=sets["bounding"])
    groups = user.get("additionalGids")
    texts = None if groups is None else [str(gid) for gid in groups] or [""]
    plan.add(p.OP_IDS, texts, a=user["uid"], b=user["gid"], count=len(groups or ()))
    if dies_with_parent:
        plan.add(p.OP_DIE_WITH_PARENT)
    plan.add(p.OP_CHDIR, process["cwd"])
    if not no_new_privs:
        # A filter needs no_new_privs or CAP_SYS_ADMIN (seccomp(2)): so before the capabilities go.
        _filters(plan, filters)
    plan.add(
        p.OP_CAPABILITIES, str(sets["inheritable"]), str(sets["ambient"]), a=sets["permitted"], b=sets["effective"]
    )
    if no_new_privs:
        plan.add(p.OP_NO_NEW_PRIVS)
        _filters(plan, filters)
    plan.add(
        p.OP_EXEC, process["args"], process["env"] or [""],
        count=len(process["args"]), a=len(process["env"]), b=p.EXEC_INIT if init else 0,
    )  # fmt: skip


def _filters(plan: Plan, filters: list[bytes]) -> None:
    for program in filters:
        plan.add(p.OP_SECCOMP, program, count=len(program) // 8)


def _limit(value: int) -> int:
    return value & 0xFFFFFFFFFFFFFFFF  # -1: RLIM_INFINITY
