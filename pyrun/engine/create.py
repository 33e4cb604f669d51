"""Make a container from an image and options: decide, write the bundle; nothing runs yet.

It must not know system calls, and prints nothing. What a container is on disk: store/layout.py. Next: engine/launch.py.
"""

from __future__ import annotations

from time import time_ns

from pyrun.engine import configuration, events, idmap
from pyrun.engine.spec import Mounts
from pyrun.engine.users import User, look_up, wanted
from pyrun.errors import ImageNotFoundError
from pyrun.images import resolve
from pyrun.runtime import engine_ns, state
from pyrun.store import containers, leases, new_container, sealed
from pyrun.store.containers import Created

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import RunOptions
    from pyrun.engine.sharing import Sharing
    from pyrun.layers.view import View
    from pyrun.runtime.engine_ns import EngineMap
    from pyrun.store.layout import Layout

_DEFAULT_STOP_SIGNAL = "SIGTERM"


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
    # What it would be refused for when it runs, or ends, is refused now.
    if options.name:
        options.name = new_container.check_name(options.name)
    if options.attach:
        from pyrun.engine.attach import chosen_streams

        chosen_streams(options.attach)
    if options.stop_signal:
        from pyrun.engine.lifecycle import signal_number

        signal_number(options.stop_signal)
    if options.secret:
        from pyrun.engine import secrets

        options.secret = secrets.settled(options.secret)
    engine = engine_ns.engine_map()
    image, lease = leased_image(layout, options)
    with lease:
        if not resolve.has_layers(layout, image, engine.form):
            from pyrun.engine import namespace
            from pyrun.engine.pull import ensure_form

            ensure_form(layout, image, engine.form, spawn=namespace.spawner(layout))
        builder = Builder(layout, options, engine, image)
        if options.replace:
            from pyrun.engine import rm

            rm.remove_namesake(layout, options.name)
        builder.stays = stays
        return builder.create()


def leased_image(layout: Layout, options: RunOptions) -> tuple[dict[str, Any], leases.Lease]:
    """Return the image's record, and a lease that keeps it until its container is there. Raises: as `image_of`."""
    while True:
        image = image_of(layout, options)
        lease = leases.acquire(layout, [image["manifest"]])
        if resolve.is_there(layout, image):
            return image, lease
        lease.release()  # removed since it was found: it is pulled again, or there is no such image


def image_of(layout: Layout, options: RunOptions) -> dict[str, Any]:
    """Return the image's record, pulled first if it must be."""
    if options.pull != "always":
        try:
            entry = resolve.find_entry(layout, options.image)
            record = resolve.load_record(layout, entry["digest"])
        except ImageNotFoundError:
            if options.pull == "never":
                raise
        else:
            if _platform_fits(record, options.platform):
                policy = resolve.policy_file(options.signature_policy)
                if policy and not resolve.is_accepted(layout, entry, policy):
                    from pyrun.engine import judgement

                    judgement.check_stored(layout, entry, policy)
                return record
            if options.pull == "never":
                raise ImageNotFoundError(f"{options.image} ({options.platform})", hint="`--pull=missing` fetches it")
    from pyrun.engine.pull import pull

    return pull(
        layout, options.image, platform=options.platform, policy="always", signature_policy=options.signature_policy
    ).record


def _platform_fits(record: dict[str, Any], platform: str | None) -> bool:
    if platform is None:
        return True
    from pyrun.oci.platform import Platform

    return str(Platform.parse(platform)) == str(Platform.parse(record["platform"]))


class Builder:
    """One container in the making."""

    __slots__ = (
        "directory", "engine", "id", "image", "layout", "lowerdirs", "map", "options", "restart", "sharing", "stays",
        "user", "view",
    )  # fmt: skip

    def __init__(self, layout: Layout, options: RunOptions, engine: EngineMap, image: dict[str, Any]) -> None:
        from pyrun.layers.lowerdir import lowerdirs
        from pyrun.layers.view import View

        self.layout = layout
        self.options = options
        self.engine = engine
        self.image = image
        self.id = new_container.new_id()
        self.directory = containers.directory(layout, self.id, ephemeral=options.rm)
        self.restart = _restart_wish(options)
        self.lowerdirs = lowerdirs(layout, self._diff_ids(), engine.form)
        self.view: View = View(self.lowerdirs, None)
        self.user: User = look_up(self.view, wanted(options, image))
        self.sharing = self._sharing()
        self.stays = False

    def _sharing(self) -> Sharing | None:
        if not self.options.shares_namespaces:
            return None
        from pyrun.engine import sharing

        return sharing.decide(self.layout, self.options)

    def create(self) -> Created:
        """Decide everything, then write it all at once."""
        if self.sharing is not None and self.sharing.has_user:
            self.map = self.sharing.map(self.options)
            return self._create()
        if idmap.mode_of(self.options.userns) != "auto":
            self.map = idmap.decide(self.options.userns, self.engine, self.user.uid, self.user.gid)
            return self._create()
        from pyrun.engine import auto_map

        with auto_map.Range(self.layout, self.directory) as taken:
            self.map = taken.map(self.options.userns or "", self.engine, self.view, self.user)
            return self._create()

    def _create(self) -> Created:
        if self.map.form != self.engine.form:
            from pyrun.engine import forms
            from pyrun.layers.lowerdir import lowerdirs

            forms.ensure(self.layout, self.image, self.map)
            self.lowerdirs = lowerdirs(self.layout, self._diff_ids(), self.map.form)
        options = self.options
        args = configuration.arguments(options, self.image)
        if not (options.volume or options.mount or options.tmpfs or options.volumes_from or self.image["volumes"]):
            return self._write(args, Mounts())
        from pyrun.engine import mounts

        return mounts.make(self, lambda decided: self._write(args, decided))

    def _diff_ids(self) -> list[str]:
        return [layer["diff_id"] for layer in self.image["layers"]]

    def _write(self, args: list[str], decided_mounts: Mounts) -> Created:
        from pyrun.engine import networking

        options, image = self.options, self.image
        network = networking.decide(options, image, self.layout.socket(self.id) + ".net", starts=not self.stays)
        hostname = configuration.hostname(self, network)
        config = configuration.decide(self, args, hostname, network, decided_mounts, self.directory)
        record = self._record(args, hostname, network, decided_mounts)
        rootfs = self._rootfs(self.directory)
        files = {
            "config.json": sealed.seal(config),
            "rootfs.json": sealed.seal(rootfs),
            **networking.files(options, network, hostname),
            **configuration.apt_files(self),
        }
        if self.stays:
            files[containers.STAYS] = b""
        files |= self.restart
        put = new_container.create if options.name else new_container.create_unnamed
        put(self.layout, record, files)
        events.container(self.layout, "create", record)
        return Created(self.id, self.directory, record, (config, rootfs))

    def _health(self) -> dict[str, Any]:
        """Only where somebody speaks of it: the module costs `run` a millisecond."""
        options, image = self.options, self.image
        if not (image.get("healthcheck") or options.speaks_of_health):
            return {}
        from pyrun.engine import health

        return {"healthcheck": health.decide(options, image), "shell": image.get("shell")}

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

    def _record(self, args: list[str], hostname: str, network: Any, decided_mounts: Mounts) -> dict[str, Any]:
        options, image = self.options, self.image
        return {
            "id": self.id,
            "name": options.name or new_container.random_name(self.layout),
            "created": state.rfc3339(time_ns()),
            "image": options.image,
            "image_ref": options.image,
            "image_id": image["image_id"],
            "manifest": image["manifest"],
            "platform": image["platform"],
            "path": args[0],
            "args": args,
            "ephemeral": options.rm,
            "labels": _labels(image["labels"], options),
            "mounts": decided_mounts.shown,
            "ports": [mapping.record() for mapping in network.ports],
            "published": [mapping.record() for mapping in network.asked],
            "exposed": _exposed([*image["exposed_ports"], *options.expose]),
            "hostname": hostname,
            "stop_signal": options.stop_signal or image["stop_signal"] or _DEFAULT_STOP_SIGNAL,
            "stop_timeout": options.stop_timeout if options.stop_timeout is not None else 10,
            **self._health(),
            "tty": options.tty,
            "stdin_open": options.interactive,
            "network": network.mode,
            "form": self.map.form,
            "anonymous_volumes": decided_mounts.anonymous,
            "boot_id": state.boot_id(),
            "log": _log(options),
            # Last: who lists containers reads up to here (store/containers.py `load_listed`).
            "options": options.as_dict(),
            "uplink": network.record(),
        }


def _exposed(texts: list[str]) -> list[str]:
    """Return ``8000/udp``, ``8001/udp`` for ``8000-8001/udp``: what `ps` shows."""
    if not texts:
        return []
    from pyrun.network import ports

    return [f"{port.container_port}/{port.protocol}" for port in ports.exposed(texts, [])]


def _log(options: RunOptions) -> dict[str, Any] | None:
    if options.log_driver is None and not options.log_opt:
        return None
    from pyrun.engine import log_options

    return log_options.decide(options.log_driver, options.log_opt, tty=options.tty)


def _restart_wish(options: RunOptions) -> dict[str, bytes]:
    if options.restart in (None, "", "no"):
        return {}
    from pyrun.engine import restart_policy

    return restart_policy.wish(options.restart, is_ephemeral=options.rm)


def _labels(image: dict[str, str], options: RunOptions) -> dict[str, str]:
    if not (options.label or options.label_file):
        return dict(image)
    from pyrun.engine import labels

    return {**image, **labels.from_options(options.label, options.label_file)}
