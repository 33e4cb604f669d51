"""Make a container from an image and options: decide, write the bundle; nothing runs yet.

It must not know system calls, and prints nothing. What a container is on disk: store/layout.py. Next: engine/launch.py.
"""

from __future__ import annotations

import os
from time import gmtime, strftime, time_ns

from pyrun.engine import environment, idmap, security, spec
from pyrun.engine.users import User, look_up
from pyrun.errors import ImageNotFoundError, InvalidInputError, NameInUseError
from pyrun.linux import capabilities
from pyrun.oci import json
from pyrun.runtime import engine_ns
from pyrun.store import containers, fsio
from pyrun.store.containers import Created

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import RunOptions
    from pyrun.layers.view import View
    from pyrun.runtime.engine_ns import EngineMap
    from pyrun.store.layout import Layout

_DEFAULT_STOP_SIGNAL = "SIGTERM"
_APT_DIRECTORY = "/etc/apt/apt.conf.d"
_APT_FILE = "99-single-id"


def create(layout: Layout, options: RunOptions) -> Created:
    """Make a container that stays until somebody starts or removes it.

    Raises: what the image, the options or the store are guilty of; then nothing is left behind.
    """
    return make(layout, options, stays=True)


def make(layout: Layout, options: RunOptions, *, stays: bool) -> Created:
    """Make a container; the image is pulled where ``options.pull`` says so.

    ``stays``: it outlives this process without being started. Raises: as `create`.
    """
    if not options.cidfile:
        return _make(layout, options, stays)
    from pyrun.engine.cidfile import CidFile

    # Claimed before anything is made: of two commands with the same file, one makes nothing.
    with CidFile(options.cidfile) as file:
        created = _make(layout, options, stays)
        file.write(created.id)
    return created


def _make(layout: Layout, options: RunOptions, stays: bool) -> Created:
    engine = engine_ns.engine_map()
    builder = Builder(layout, options, engine, image_of(layout, options, engine))
    builder.stays = stays
    return builder.create()


def image_of(layout: Layout, options: RunOptions, engine: EngineMap) -> dict[str, Any]:
    """Return the image's record, pulled first if it must be, with its layers in the form that the engine needs."""
    from pyrun.images import resolve

    if options.pull != "always":
        try:
            record = resolve.resolve_image(layout, options.image)
        except ImageNotFoundError:
            if options.pull == "never":
                raise
        else:
            if _platform_fits(record, options.platform):
                if not resolve.has_layers(layout, record, engine.form):
                    from pyrun.engine import namespace
                    from pyrun.engine.pull import ensure_form

                    ensure_form(layout, record, engine.form, spawn=namespace.spawner(layout))
                return record
            if options.pull == "never":
                raise ImageNotFoundError(f"{options.image} ({options.platform})", hint="`--pull=missing` fetches it")
    from pyrun.engine.pull import pull

    return pull(layout, options.image, platform=options.platform, policy="always").record


def _platform_fits(record: dict[str, Any], platform: str | None) -> bool:
    if platform is None:
        return True
    from pyrun.oci.platform import Platform

    return str(Platform.parse(platform)) == str(Platform.parse(record["platform"]))


class Builder:
    """One container in the making."""

    __slots__ = ("engine", "id", "image", "layout", "lowerdirs", "map", "options", "security", "stays", "user", "view")

    def __init__(self, layout: Layout, options: RunOptions, engine: EngineMap, image: dict[str, Any]) -> None:
        from pyrun.layers.lowerdir import lowerdirs
        from pyrun.layers.view import View

        self.layout = layout
        self.options = options
        self.engine = engine
        self.image = image
        self.id = containers.new_id()
        self.security = security.parse(options.security_opt)
        diff_ids = [layer["diff_id"] for layer in image["layers"]]
        self.lowerdirs = lowerdirs(layout, diff_ids, engine.form)
        self.view: View = View(self.lowerdirs, None)
        self.user: User = look_up(self.view, _user_text(options, image))
        self.map = idmap.decide(options.userns, engine, self.user.uid, self.user.gid)
        if self.map.form != engine.form:
            from pyrun.engine import forms

            forms.ensure(layout, image, self.map)
            self.lowerdirs = lowerdirs(layout, diff_ids, self.map.form)
        self.stays = False

    def create(self) -> Created:
        """Decide everything, then write it all at once."""
        from pyrun.engine import mounts

        args = self._arguments()
        if not (self.options.volume or self.options.mount or self.image["volumes"]):
            return self._write(args, mounts.decide(self.layout, self.image, self.options))
        # Until the container is in place nobody may remove the volumes that it names (volumes/store.py `remove`).
        with fsio.FileLock(self.layout.gc_lock, exclusive=False):
            decided = mounts.decide(self.layout, self.image, self.options)
            try:
                mounts.fill(self.layout, decided, self._view_in_map())
                return self._write(args, decided)
            except BaseException:
                mounts.forget(self.layout, decided)
                raise

    def _view_in_map(self) -> View:
        from pyrun.layers.view import View

        return View(self.lowerdirs, None)

    def _write(self, args: list[str], decided_mounts: Any) -> Created:
        from pyrun.engine import networking
        from pyrun.images import resolve

        options, image = self.options, self.image
        network = networking.decide(options, image, self.layout.socket(self.id) + ".net")
        hostname = options.hostname or (os.uname().nodename if network.mode == "host" else self.id[:12])
        if any(character.isspace() for character in hostname):  # it would add lines to /etc/hosts
            raise InvalidInputError(f"invalid hostname format: {hostname!r}")
        directory = containers.directory(self.layout, self.id, ephemeral=options.rm)
        config = self._config(args, hostname, network, decided_mounts, directory)
        record = self._record(args, hostname, network, decided_mounts)
        data = containers.data_directory(self.layout, self.id, ephemeral=options.rm)
        rootfs = self._rootfs(data)
        files = {
            "config.json": json.dumps(config).encode(),
            "rootfs.json": json.dumps(rootfs).encode(),
            **networking.files(options, network, hostname),
        }
        if self._needs_apt_setting():
            files[_APT_FILE] = b'APT::Sandbox::User "root";\n'
        if self.stays:
            files[containers.STAYS] = b""
        # A collector (rmi, prune) has either not begun or has finished: the container holds the image from here on.
        with fsio.FileLock(self.layout.gc_lock, exclusive=False):
            if not resolve.has_layers(self.layout, image, self.map.form):
                raise ImageNotFoundError(options.image, hint="it was removed just now; `pyrun pull` fetches it again")
            self._place(record, files)
        return Created(self.id, directory, record, (config, rootfs))

    def _place(self, record: dict[str, Any], files: dict[str, bytes]) -> None:
        while True:
            try:
                containers.create(self.layout, record, files)
            except NameInUseError:
                if self.options.name:
                    raise
                # Another process has drawn the same name at this moment.
                record["name"] = containers.random_name(self.layout)
            else:
                return

    def _arguments(self) -> list[str]:
        """ENTRYPOINT and CMD by docker's rules: ``--entrypoint`` drops the image's CMD, arguments replace it."""
        options, image = self.options, self.image
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
        if options.stop_signal:
            from pyrun.engine.lifecycle import signal_number

            signal_number(options.stop_signal)  # now, not when it is to be stopped
        if any("\0" in arg for arg in args):
            raise InvalidInputError("invalid argument: it contains a NUL byte")
        return args

    def _config(
        self, args: list[str], hostname: str, network: Any, decided_mounts: Any, directory: str
    ) -> dict[str, Any]:
        options = self.options
        decided = spec.Decisions()
        decided.args = args
        given = environment.from_options(options.env, options.env_file)
        decided.env = environment.container_environment(
            self.image["env"], given, hostname=hostname, tty=options.tty, home=self.user.home
        )
        if not any(item.startswith("HOME=") for item in (*self.image["env"], *given)):
            decided.home = self.user.home
        decided.cwd = _working_directory(options.workdir or self.image["workdir"] or "/")
        decided.uid, decided.gid = self.user.uid, self.user.gid
        # setgroups(2) is denied in a single-id map: user_namespaces(7).
        decided.additional_gids = None if self.engine.size == 1 else self.user.groups
        decided.capabilities = capabilities.evaluate(options.cap_add, options.cap_drop, privileged=options.privileged)
        decided.no_new_privs = self.security.no_new_privs
        decided.privileged = options.privileged
        decided.unmasked = options.privileged or self.security.unmasked
        decided.readonly = options.read_only
        decided.terminal = options.tty
        decided.hostname = hostname
        decided.seccomp = (
            "unconfined" if options.privileged and self.security.seccomp == "default" else self.security.seccomp
        )
        decided.namespaces = ["pid", "mount", "ipc", "uts", "cgroup"]
        if network.mode != "host":
            decided.namespaces.append("network")
            # Docker's: no port of the container's own network is privileged, and ping needs no capability.
            decided.sysctls = {
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv4.ping_group_range": self._ping_groups(),
            }
        if self.engine.size:
            decided.namespaces.append("user")
        decided.uid_extents, decided.gid_extents = self.map.uids, self.map.gids
        decided.rlimits = _rlimits(options.ulimit)
        decided.mounts = [*_etc_files(directory), *decided_mounts.oci]
        if self._needs_apt_setting():
            decided.mounts.append(_file_mount(f"{directory}/{_APT_FILE}", f"{_APT_DIRECTORY}/{_APT_FILE}"))
        return spec.build(decided)

    def _needs_apt_setting(self) -> bool:
        """Apt fetches as the user _apt, whom a single-id map has not, and fails; it is told to stay root."""
        return self.engine.size == 1 and self.view.is_dir(_APT_DIRECTORY)

    def _ping_groups(self) -> str:
        """All groups of the container. Both ends must be mapped (EINVAL): a single-id map need not have 0."""
        if not self.map.gids:
            # Root without a user namespace of ours; perhaps in somebody else's (a container), whose last id is its own.
            with open("/proc/self/gid_map", "rb") as file:
                first, _, size = (int(word) for word in file.read().split(b"\n")[0].split())
            return f"{first} {min(first + size - 1, 2147483647)}"
        last, _, size = self.map.gids[-1]
        return f"{self.map.gids[0][0]} {last + size - 1}"

    def _rootfs(self, data: str) -> dict[str, Any]:
        return {
            "lowerdirs": self.lowerdirs,
            "upper": data + "/upper",
            "work": data + "/work",
            # A volatile overlay cannot be mounted twice: only where there is no second start.
            "volatile": self.options.rm,
            "form": self.map.form,
            "readonly": self.options.read_only,
        }

    def _record(self, args: list[str], hostname: str, network: Any, decided_mounts: Any) -> dict[str, Any]:
        from pyrun.runtime.state import boot_id

        options, image = self.options, self.image
        name = containers.check_name(options.name) if options.name else containers.random_name(self.layout)
        return {
            "id": self.id,
            "name": name,
            "created": now(),
            "image": options.image,
            "image_ref": options.image,
            "image_id": image["image_id"],
            "manifest": image["manifest"],
            "platform": image["platform"],
            "path": args[0],
            "args": args,
            "ephemeral": options.rm,
            "options": options.as_dict(),
            "labels": _labels(image["labels"], options),
            "mounts": decided_mounts.shown,
            "ports": [mapping.record() for mapping in network.ports],
            "hostname": hostname,
            "stop_signal": options.stop_signal or image["stop_signal"] or _DEFAULT_STOP_SIGNAL,
            "stop_timeout": options.stop_timeout if options.stop_timeout is not None else 10,
            "tty": options.tty,
            "stdin_open": options.interactive,
            "network": network.mode,
            "uplink": network.record(),
            "form": self.map.form,
            "anonymous_volumes": decided_mounts.anonymous,
            "boot_id": boot_id(),
        }


def _user_text(options: RunOptions, image: dict[str, Any]) -> str:
    if options.user is not None:
        return options.user
    if options.userns == "keep-id" and os.geteuid() != 0:
        # As podman: the point of the mode is to be oneself inside.
        return f"{os.geteuid()}:{os.getegid()}"
    return str(image["user"])


def now() -> str:
    """The time as docker writes it: RFC 3339, nanoseconds, UTC."""
    stamp = time_ns()
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(stamp // 1_000_000_000)) + f".{stamp % 1_000_000_000:09}Z"


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


def _labels(image: dict[str, str], options: RunOptions) -> dict[str, str]:
    if not (options.label or options.label_file):
        return dict(image)
    from pyrun.engine import labels

    return {**image, **labels.from_options(options.label, options.label_file)}
