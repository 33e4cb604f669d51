"""Namespaces that are not a container's own: ``--pid --ipc --uts --cgroupns``, and ``--network container:ID``.

It must not enter any: native/monitor/share.c does. Loaded only where one of these options is given. Whoever shares a
namespace of another container also has its user namespace, in which that one's capabilities count; docker's containers
all have the same one. So two containers' namespaces can be shared at once only where those two share theirs.
"""

from __future__ import annotations

import os

from pyrun.engine.idmap import IdMap
from pyrun.errors import ConflictError, InvalidInputError, WrongStatusError
from pyrun.runtime import compile as compiler
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import RunOptions
    from pyrun.engine.spec import Decisions
    from pyrun.store.layout import Layout

# option, type of the namespace, what it takes besides container:NAME, docker's words for all else
_OPTIONS = (
    ("pid", "pid", ("host", "private"), "--pid: invalid PID mode"),
    ("network", "network", None, ""),
    ("ipc", "ipc", ("host", "private", "shareable", "none"), "invalid IPC mode"),
    ("uts", "uts", ("host", "private"), "--uts: invalid UTS mode"),
    ("userns", "user", None, ""),
)
_CGROUPNS = ("host", "private")
_ETC = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_QUIET = ["nosuid", "noexec", "nodev"]


class Peer:
    """Another container: where it is, and what was decided for it."""

    __slots__ = ("config", "directory", "id", "name", "record")

    def __init__(self, layout: Layout, text: str) -> None:
        self.id, self.directory = containers.resolve(layout, text)
        self.record = containers.load(self.directory)
        self.config = containers.load_file(self.directory, "config.json")
        self.name: str = self.record["name"]

    def has(self, kind: str) -> bool:
        """Whether it has, or shares with a third container, a namespace of this kind; else it is the host's."""
        return any(item["type"] == kind for item in self.config["linux"]["namespaces"])


class Sharing:
    """What was decided. ``modes``: "host", "none", … by type of namespace; ``peers``: whose it is, by type.

    ``network_peer``: whose /etc/hosts it has, also where that one's network is the host's.
    """

    __slots__ = ("modes", "network_peer", "peers")

    def __init__(self) -> None:
        self.modes: dict[str, str] = {}
        self.peers: dict[str, Peer] = {}
        self.network_peer: Peer | None = None

    @property
    def has_user(self) -> bool:
        """Whether the user namespace is another container's, and the map with it."""
        return "user" in self.peers

    def map(self, options: RunOptions) -> IdMap:
        """Return the map of the shared user namespace. Raises: ConflictError if ``--userns`` asks for another."""
        peer = self.peers["user"]
        wanted = options.userns or "host"
        if not wanted.startswith("container:") and wanted not in ("host", "private", peer.record["options"]["userns"]):
            raise ConflictError(
                f"cannot share the namespaces of container: {peer.name}: it was not run with --userns={wanted}"
            )
        linux = peer.config["linux"]
        uids, gids = (
            [(item["containerID"], item["hostID"], item["size"]) for item in linux[name]]
            for name in ("uidMappings", "gidMappings")
        )
        return IdMap(uids, gids, peer.record["form"])

    @property
    def hostname(self) -> str:
        """The name that the container gets with its UTS or network namespace; "" if it has one of its own."""
        if self.modes.get("uts") == "host":
            return os.uname().nodename
        peer = self.peers.get("uts") or self.network_peer
        return "" if peer is None else str(peer.record["hostname"])

    def apply(self, decided: Decisions) -> None:
        """Change what was decided for a container whose namespaces are all its own."""
        decided.shared = {kind: peer.directory for kind, peer in self.peers.items()}
        decided.namespaces = [kind for kind in decided.namespaces if self.modes.get(kind) != "host"]
        if self.network_peer is not None:
            decided.sysctls = {}
            # As they stand there: they may be those of a third container.
            etc = [mount for mount in self.network_peer.config["mounts"] if mount["destination"] in _ETC]
            decided.mounts = [*etc, *(mount for mount in decided.mounts if mount["destination"] not in _ETC)]
        given = {mount["destination"] for mount in decided.mounts}
        decided.mounts += [mount for mount in self._mounts() if mount["destination"] not in given]
        if self.modes.get("ipc") == "none":
            decided.omitted = ("/dev/shm",)

    def _mounts(self) -> list[dict[str, Any]]:
        mounts = []
        if "ipc" in self.peers:
            mounts.append({"destination": "/dev/shm", "type": "peer", "source": "/dev/shm", "options": _QUIET})
        elif self.modes.get("ipc") == "host":
            mounts += [_bind(path, *_QUIET) for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)]
        if self.modes.get("cgroup") == "host":
            # cgroup2 can only be mounted in a cgroup namespace of one's own: cgroup_namespaces(7).
            mounts.append(_bind("/sys/fs/cgroup", *_QUIET, "ro"))
        return mounts


def _bind(path: str, *options: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": path, "options": ["rbind", "rslave", *options]}


def decide(layout: Layout, options: RunOptions) -> Sharing:
    """Read the options; a container's name becomes its id in them, as docker keeps it.

    Raises: InvalidInputError with docker's words; ContainerNotFoundError; ConflictError.
    """
    sharing = Sharing()
    for name, kind, words, complaint in _OPTIONS:
        text = getattr(options, name) or ""
        if text.startswith("container:") and text != "container:":
            peer = Peer(layout, text.partition(":")[2])
            setattr(options, name, f"container:{peer.id}")
            _share(sharing, kind, peer)
        elif words is not None and text in words:
            sharing.modes[kind] = text
        elif text and words is not None:
            raise InvalidInputError(f"{complaint}: {text}", hint=f"{', '.join(words)}, or container:NAME")
    if options.cgroupns in _CGROUPNS:
        sharing.modes["cgroup"] = options.cgroupns
    elif options.cgroupns:
        raise InvalidInputError(f"--cgroupns: invalid CGROUP mode: {options.cgroupns}", hint="host, or private")
    _refuse_conflicts(options)
    owner = next((peer for kind, peer in sharing.peers.items() if peer.has("user")), None)
    if owner is not None:
        sharing.peers.setdefault("user", owner)
    return sharing


def _share(sharing: Sharing, kind: str, peer: Peer) -> None:
    if kind == "ipc" and (peer.record["options"].get("ipc") or "private") in ("private", "none"):
        raise ConflictError(
            f"cannot join the ipc namespace of container: {peer.name}: it is not shareable",
            hint=f"run {peer.name} with --ipc shareable",
        )
    if kind == "network":
        sharing.network_peer = peer
    if peer.has(kind):
        sharing.peers[kind] = peer
    else:
        sharing.modes[kind] = "host"  # as it is that one's


def _refuse_conflicts(options: RunOptions) -> None:
    shares_network = (options.network or "").startswith("container:")
    for name in ("hostname", "domainname"):
        if getattr(options, name) and options.uts not in (None, "", "private"):
            raise InvalidInputError(f"conflicting options: {name} and the UTS mode")
    conflicts = (
        (options.hostname, "hostname and the network mode"),
        (options.dns, "dns and the network mode"),
        (options.add_host, "custom host-to-IP mapping and the network mode"),
        (options.mac_address, "mac-address and the network mode"),
        (options.expose, "port exposing and the container type network mode"),
        (options.publish or options.publish_all, "port publishing and the container type network mode"),
    )
    for given, words in conflicts:
        if shares_network and given:
            raise InvalidInputError(f"conflicting options: {words}")


def check(shared: dict[str, int]) -> tuple[int, int]:
    """Refuse a start where one of the others does not run, or where they are not in the same user namespace.

    ``shared``: as compiler.shared gives it. Returns pid and start time of the monitor of one of them.
    Raises: ContainerNotFoundError; WrongStatusError; ConflictError.
    """
    found: dict[int, str] = {}
    for directory, flags in shared.items():
        name = containers.load(directory)["name"]
        now = state.status(directory)
        if now.status not in ("running", "paused"):
            kinds = [kind for kind, flag in compiler.NAMESPACES.items() if flags & flag and kind != "user"]
            what = "join the " + ", ".join(kinds or ["user"]) + " namespace of"
            raise WrongStatusError(what, name, "not running", hint=f"`pyrun start {name}` starts it")
        found.setdefault(os.stat(f"/proc/{now.pid}/ns/user").st_ino, name)
        beside = now.monitor, now.monitor_starttime
    if len(found) > 1:
        first, second = sorted(found.values())[:2]
        raise ConflictError(
            f"cannot join the namespaces of containers: {first} and {second}: each has a user namespace of its own",
            hint=f"run {second} with --userns container:{first}",
        )
    return beside
