"""What a container's config.json says: the options and the image's defaults, decided.

It must not know where anything is stored. The form of the file itself: engine/spec.py. Called by engine/create.py.
"""

from __future__ import annotations

import os

from pyrun.engine import environment, spec
from pyrun.errors import InvalidInputError
from pyrun.linux import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.create import Builder
    from pyrun.engine.options import RunOptions
    from pyrun.engine.spec import Mounts

_APT_DIRECTORY = "/etc/apt/apt.conf.d"
_APT_FILE = "99-single-id"


def arguments(options: RunOptions, image: dict[str, Any]) -> list[str]:
    """Return the program and its arguments: ENTRYPOINT and CMD by docker's rules.

    ``--entrypoint`` drops the image's CMD, arguments replace it. Raises: InvalidInputError.
    """
    entrypoint, command = image["entrypoint"] or [], options.args or image["cmd"] or []
    if options.entrypoint is not None:
        entrypoint = [options.entrypoint] if options.entrypoint else []
        command = options.args
    args = [*entrypoint, *command]
    if not args or not args[0]:
        raise InvalidInputError(
            f"no command specified: image {options.image} has neither ENTRYPOINT nor CMD",
            hint=f"name one: `pyrun run {options.image} COMMAND`",
        )
    if any("\0" in arg for arg in args):
        raise InvalidInputError("invalid argument: it contains a NUL byte")
    return args


def hostname(builder: Builder, network: Any) -> str:
    """Return the container's host name. Raises: InvalidInputError, for the domain name too."""
    options = builder.options
    shared = builder.sharing.hostname if builder.sharing is not None else ""
    own = os.uname().nodename if network.mode == "host" else builder.id[:12]
    chosen = options.hostname or shared or own
    for kind, text in (("hostname", chosen), ("domainname", options.domainname or "")):
        # It would add lines to /etc/hosts. __NEW_UTS_LEN is 64.
        if any(character.isspace() for character in text) or len(os.fsencode(text)) > 64:
            raise InvalidInputError(f"invalid {kind} format: {text!r}")
    return chosen


def decide(
    builder: Builder, args: list[str], hostname: str, network: Any, decided_mounts: Mounts, directory: str
) -> dict[str, Any]:
    """Return the content of config.json. ``directory``: where the container's own files will be."""
    options, image, user, engine = builder.options, builder.image, builder.user, builder.engine
    decided = spec.Decisions()
    decided.args = args
    given = environment.from_options(options.env, options.env_file)
    inherited = environment.with_host(image["env"]) if options.env_host else image["env"]
    decided.env = environment.container_environment(
        inherited, given, hostname=hostname, tty=options.tty, home=user.home
    )
    if not any(item.startswith("HOME=") for item in (*inherited, *given)):
        decided.home = user.home
    decided.cwd = _working_directory(options.workdir or image["workdir"] or "/")
    decided.uid, decided.gid = user.uid, user.gid
    # setgroups(2) is denied in a single-id map: user_namespaces(7).
    decided.additional_gids = None if engine.size == 1 else user.groups
    if options.group_add:
        from pyrun.engine.users import added_groups

        decided.additional_gids = added_groups(builder.view, options.group_add, decided.additional_gids)
    decided.capabilities = capabilities.evaluate(options.cap_add, options.cap_drop, privileged=options.privileged)
    _decide_security(options, decided)
    decided.readonly = options.read_only
    decided.terminal = options.tty
    decided.hostname = hostname
    decided.domainname = options.domainname or ""
    decided.annotations = _annotations(options.annotation)
    decided.namespaces = ["pid", "mount", "ipc", "uts", "cgroup"]
    if network.mode != "host":
        decided.namespaces.append("network")
        # Docker's: no port of the container's own network is privileged, and ping needs no capability.
        decided.sysctls = {
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": _ping_groups(builder.map.gids),
        }
    if engine.size:
        decided.namespaces.append("user")
    decided.uid_extents, decided.gid_extents = builder.map.uids, builder.map.gids
    decided.rlimits = _rlimits(options.ulimit)
    decided.mounts = [*_etc_files(directory), *decided_mounts.oci]
    decided.mounts += [_file_mount(f"{directory}/{name}", f"{_APT_DIRECTORY}/{name}") for name in apt_files(builder)]
    if builder.sharing is not None:
        builder.sharing.apply(decided)
    if options.shm_size is not None or options.sysctl or options.oom_score_adj is not None:
        from pyrun.engine import tunables

        tunables.apply(options, decided)
    if options.device:
        from pyrun.engine import devices

        decided.mounts += devices.mounts(options.device)
    return spec.build(decided)


def _annotations(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, _, found[name] = text.partition("=")
        if not name or name.startswith("org.pyrun."):
            raise InvalidInputError(f"invalid annotation: {text!r}", hint="names below org.pyrun are pyrun's own")
    return found


def apt_files(builder: Builder) -> dict[str, bytes]:
    """Apt fetches as the user _apt, whom a single-id map has not, and fails; it is told to stay root."""
    if builder.engine.size == 1 and builder.view.is_dir(_APT_DIRECTORY):
        return {_APT_FILE: b'APT::Sandbox::User "root";\n'}
    return {}


def _decide_security(options: RunOptions, decided: spec.Decisions) -> None:
    decided.privileged = decided.unmasked = options.privileged
    if options.security_opt:
        from pyrun.engine import security

        chosen = security.parse(options.security_opt)
        decided.no_new_privs = chosen.no_new_privs
        decided.unmasked = options.privileged or chosen.unmasked
        decided.seccomp = chosen.seccomp
    if options.privileged and decided.seccomp == "default":
        decided.seccomp = "unconfined"


def _ping_groups(extents: list[tuple[int, int, int]]) -> str:
    """All groups of the container. Both ends must be mapped (EINVAL): a single-id map need not have 0."""
    if not extents:
        # Root without a user namespace of ours; perhaps in somebody else's (a container), whose last id is its own.
        with open("/proc/self/gid_map", "rb") as file:
            first, _, size = (int(word) for word in file.read().split(b"\n")[0].split())
        return f"{first} {min(first + size - 1, 2147483647)}"
    last, _, size = extents[-1]
    return f"{extents[0][0]} {last + size - 1}"


def _working_directory(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidInputError(f"invalid working directory: {path!r}: it needs to be an absolute path")
    return os.path.normpath(path)


def _etc_files(directory: str) -> list[dict[str, Any]]:
    return [_file_mount(f"{directory}/{name}", f"/etc/{name}") for name in ("hosts", "hostname", "resolv.conf")]


def _file_mount(source: str, destination: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate"]}


def _rlimits(texts: list[str]) -> list[dict[str, Any]]:
    if not texts:
        return []
    from pyrun.volumes import ulimit

    limits = ulimit.resolve(texts, privileged=os.geteuid() == 0)
    return [{"type": limit.type, "soft": limit.soft, "hard": limit.hard} for limit in limits]
