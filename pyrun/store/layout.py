"""Every path that pyrun keeps on disk, in one place: where it is, who writes it, under which lock.

It must not know what the files mean, and it makes none of them: `store/version.py` makes the skeleton.
Hot: imported by every verb. Read on: design of the locks in `store/containers.py` and `store/gc.py`.

Two roots. ROOT survives a reboot (``--root``, ``PYRUN_ROOT``, ``$XDG_DATA_HOME/pyrun``); RUNTIME does not
(``$XDG_RUNTIME_DIR/pyrun``). TOKEN names the owner of unfinished work (`store/owner.py`); ID is 64 hex digits.

ROOT, mode 0700
    version                  store format            version.py / every verb / written once, by rename       JSON
    index.lock               OFD lock, never removed: held over re-read, modify, write, rename of index.json
    gc.lock                  OFD lock, never removed: shared to add a lease, exclusive to mark and rename to trash
    names.lock               OFD lock, never removed: held to remove a name, to replace a dead one, to change a record
    oci/                     an OCI image layout that skopeo and trivy read as it is
      oci-layout             version.py              once
      index.json             index.py / images.resolve / index.lock, by rename; readers lock nothing; sealed.py   JSON
      blobs/sha256/HEX       blobs.py / layers       no lock: one rename of a verified file; read-only after
    dropped/HEX              dropped.py / refetch    symlink to "HOST/NAME ...": who has a blob that `system prune
                             --blobs` took; made under gc.lock before the blob goes, removed when it is there again
    layers/sha256/HEX/FORM/  engine.fetch / overlay  no lock: one rename of a verified tree; FORM is full or flat
    images/DIGEST            images.record / run     no lock: one rename; what `run` needs; store/sealed.py      JSON
    lists/NAME               manifest_lists.py       index.lock, by rename; NAME as in a URL         JSON
    signatures/DIGEST        engine.judgement / run  beside images/DIGEST: where it came from, and by which signatures;
                             by rename under index.lock                                                     JSON
      DIGEST.verdict         engine.judgement        which policy accepted it, under which tags; as above   JSON
    containers/ID/           new_container.py        built in tmp/, appears by one rename once its files are on disk
      container.json         new_container.py / ps   fsynced; record_change.py: by rename under names.lock    JSON
      config.json            engine.run / runtime    OCI runtime-spec; OFD lock while a start chooses ports    JSON
      rootfs.json            engine.run / runtime    what to mount                                            JSON
      lock                   the monitor             OFD write lock on byte 0 while it lives
      seccomp.bpf            engine.filters / exec   by rename: the programs that its start installed         JSON
      exit                   the monitor             64 bytes set aside at create; NUL: no exit yet
      state                  the monitor             by rename; without room for that, over the old one       JSON
        .earlier             the monitor             of the run before, until the start that follows it has come to pass
      freezer                runtime.pause / state   OFD lock: who pauses; empty, or which run of it and its cgroup
      health                 the monitor / ps        docker's State.Health, by rename                         JSON
      restart                engine.restart_policy / the monitor: "NAME MAXIMUM", by rename; none: no policy
      stopped                engine.restart_policy   empty; a user ended it, and nobody has started it since
      stays                  engine.create / sweep   empty; a --rm container made to be started by another process
      copying                engine.inside / launch, the monitor: OFD lock, `cp` exclusive, a start shared; there once
                             `cp` has worked on it while it did not run
      start-error            engine.failed_start     by rename: exit code, sentence; holds while `state` is older
      kept                   engine.restart / sweep  a --rm container that is about to be started again; TOKEN
      upper/ work/ rootfs/   overlay                 writable layer, overlay's own, mount point
      logs/                  the monitor             json.log, ctr.log or local.log; rotated: .1, .2
        lost                 the monitor / logs      2 × 128 bytes, set aside at the start; NUL: no record is lost
    ephemeral/ID/            new_container.py        a --rm container: as containers/ID/, never synced; of this boot
      owner                  new_container / sweep   symlink to the TOKEN of who made it
    names/NAME               containers.py           link to ../containers/ID, ../ephemeral/ID; names.lock to remove
    idranges/START-SIZE      id_ranges.py            symlink to RECORD/TOKEN of the --userns=auto container; names.lock
    volumes/NAME/            volumes.store
      owner                  volumes.store / sweep   link to ID/TOKEN while it is to go with its container
    networks/NAME.json       network
    cache/                   linux.probe, linux.seccomp: may be removed at any time
      overlay-refused        engine.root_choice      the boot in which overlay was refused; why
    partial/HEX              partials.py / the next pull: a half-fetched blob, unverified, swept after a week; OFD lock:
                             exclusive to add bytes, shared once it is whole
    quarantine/*             quarantine.py / fsck    damaged, taken away by `fsck --repair`; removed on demand
    repair.lock              OFD lock, never removed: held by `fsck --repair`
    tmp/TOKEN                anything unfinished; swept when its owner is dead
    leases/TOKEN             leases.py / gc.py       one digest per line, written under gc.lock shared
    trash/*                  being removed; anyone may go on removing it
    events/record            engine.events, the monitor / event_log: a line by one write; at 1 MB it becomes record.1
    mounts/NAME/             image_mounts.py / gc    an image that host tools can read; appears by one rename
      mount.json             image_mounts.py         which image, where                                       JSON
      lock                   engine.image_mount      OFD write lock while the helper serves it
      tree/ sidecar          engine.image_mount      where there is no FUSE: the image's files, copied
    mounts.lock              OFD lock, never removed: held to mount and unmount images
    refs.log                 tag_log.py              where tags pointed, appended under index.lock; at 1 MB it is
                             rewritten by rename: the newer half, and the last line of each tag

Each file of ROOT that no digest names, and that is not a container's own, has a checksum: store/sealed.py,
store/sealed_lines.py.

RUNTIME, mode 0700, gone after a reboot
    live/ID                  client, monitor / ps    symlink to the container's directory while it runs; may be stale
    sock/ID32                the monitor             attach socket; the first 32 digits: sun_path holds 107 bytes
    network/                 network
    mounts/NAME              engine.image_mount      mount point of an image that is mounted
    engine                   runtime.engine_ns       names the live engine namespace; one for all roots of a user
    registries               registry.config         registries.conf and its like, parsed; by rename            JSON
"""

from __future__ import annotations

import os
import stat
import sys

from pyrun.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Layout:
    """The paths below one root and one runtime directory; makes nothing, reads nothing.

    ``user_runtime`` holds what all roots of a user share; by default it is ``runtime``.
    """

    __slots__ = (
        "blobs",
        "cache",
        "containers",
        "dropped_blobs",
        "engine",
        "ephemeral",
        "events",
        "events_directory",
        "events_older",
        "gc_lock",
        "id_ranges",
        "images",
        "index",
        "index_lock",
        "layers",
        "leases",
        "live",
        "manifest_lists",
        "mounts",
        "mounts_lock",
        "names",
        "names_lock",
        "networks",
        "oci",
        "oci_layout",
        "overlay_refused",
        "partials",
        "quarantine",
        "refs_log",
        "repair_lock",
        "root",
        "runtime",
        "runtime_network",
        "signatures",
        "sockets",
        "tmp",
        "trash",
        "user_runtime",
        "version",
        "volumes",
    )

    def __init__(self, root: str, runtime: str, *, user_runtime: str = "") -> None:
        self.root = root
        self.version = root + "/version"
        self.index_lock = root + "/index.lock"
        self.gc_lock = root + "/gc.lock"
        self.names_lock = root + "/names.lock"
        self.oci = root + "/oci"
        self.oci_layout = root + "/oci/oci-layout"
        self.index = root + "/oci/index.json"
        self.blobs = root + "/oci/blobs"
        self.dropped_blobs = root + "/dropped"
        self.layers = root + "/layers"
        self.images = root + "/images"
        self.manifest_lists = root + "/lists"
        self.signatures = root + "/signatures"
        self.containers = root + "/containers"
        self.ephemeral = root + "/ephemeral"
        self.names = root + "/names"
        self.id_ranges = root + "/idranges"
        self.volumes = root + "/volumes"
        self.networks = root + "/networks"
        self.cache = root + "/cache"
        self.overlay_refused = root + "/cache/overlay-refused"
        self.partials = root + "/partial"
        self.tmp = root + "/tmp"
        self.leases = root + "/leases"
        self.trash = root + "/trash"
        self.events_directory = root + "/events"
        self.events = root + "/events/record"
        self.events_older = root + "/events/record.1"
        self.mounts = root + "/mounts"
        self.mounts_lock = root + "/mounts.lock"
        self.refs_log = root + "/refs.log"
        self.quarantine = root + "/quarantine"
        self.repair_lock = root + "/repair.lock"
        self.runtime = runtime
        self.live = runtime + "/live"
        self.sockets = runtime + "/sock"
        self.runtime_network = runtime + "/network"
        self.user_runtime = user_runtime or runtime
        self.engine = self.user_runtime + "/engine"

    @classmethod
    def default(cls, root: str | None = None, environ: Mapping[str, str] | None = None) -> Layout:
        """Return the layout that ``--root ROOT`` and the environment ask for.

        Raises: StoreError where no safe directory can be found.
        """
        env = os.environ if environ is None else environ
        home_root = _home_root(env)
        chosen = root or env.get("PYRUN_ROOT") or _data_root(env) or home_root
        if not chosen:
            raise StoreError(
                "no place for the store: HOME is not set", path="", hint="set PYRUN_ROOT or give --root DIRECTORY"
            )
        chosen = os.path.abspath(chosen)
        shared = user_runtime_dir(env)
        if chosen == home_root:
            return cls(chosen, shared, user_runtime=shared)
        real = os.path.realpath(chosen)
        # One runtime directory per root: else `ps` of one root would list the live containers of another.
        own = shared if real == os.path.realpath(home_root or "/") else f"{shared}/{_short_hash(real)}"
        return cls(chosen, own, user_runtime=shared)

    def blob(self, digest: str) -> str:
        """Return the path of a blob, ``sha256:HEX``."""
        return self.blobs + "/" + digest.replace(":", "/", 1)

    def dropped(self, digest: str) -> str:
        """Return the path of what is remembered of a blob that was dropped knowingly."""
        return self.dropped_blobs + "/" + digest.partition(":")[2]

    def partial(self, digest: str) -> str:
        """Return the path of what is there of a blob that is being fetched."""
        return self.partials + "/" + digest.partition(":")[2]

    def layer(self, diff_id: str, form: str) -> str:
        """Return the directory of one unpacked layer in one form. Outside layers/ ask `layers.lowerdir` instead."""
        return self.layers + "/" + diff_id.replace(":", "/", 1) + "/" + form

    def image(self, manifest_digest: str) -> str:
        """Return the path of an image's pre-digested record."""
        return self.images + "/" + manifest_digest

    def manifest_list(self, quoted: str) -> str:
        """Return the path of a manifest list that is being put together."""
        return self.manifest_lists + "/" + quoted

    def image_signatures(self, manifest_digest: str) -> str:
        """Return the path of the signatures by which an image came in."""
        return self.signatures + "/" + manifest_digest

    def container(self, container_id: str) -> str:
        """Return the directory of a container that outlives its process."""
        return self.containers + "/" + container_id

    def ephemeral_container(self, container_id: str) -> str:
        """Return the directory of a --rm container."""
        return self.ephemeral + "/" + container_id

    def name(self, name: str) -> str:
        """Return the path of the symlink that holds a container's name."""
        return self.names + "/" + name

    def id_range(self, name: str) -> str:
        """Return the path of the symlink that holds a range of ids, START-SIZE."""
        return self.id_ranges + "/" + name

    def volume(self, name: str) -> str:
        """Return the directory of a named or anonymous volume."""
        return self.volumes + "/" + name

    def live_entry(self, container_id: str) -> str:
        """Return the path of the symlink that says: this container runs."""
        return self.live + "/" + container_id

    def mount(self, name: str) -> str:
        """Return the directory of one mounted image."""
        return self.mounts + "/" + name

    def mount_point(self, name: str) -> str:
        """Return where an image is mounted, if it is not copied."""
        return self.runtime + "/mounts/" + name

    def socket(self, container_id: str) -> str:
        """Return the path of a container's attach socket.

        sun_path: 107 bytes and a NUL, unix(7): a whole id would not fit below /run/user/UID/pyrun/HASH/sock.
        """
        return self.sockets + "/" + container_id[:32]


def user_runtime_dir(env: Mapping[str, str]) -> str:
    """Return the directory for this user's sockets and live state, which need not exist yet.

    Raises: StoreError if only /tmp is left and somebody else has taken our name there.
    """
    uid = os.geteuid()
    given = env.get("XDG_RUNTIME_DIR", "")
    # su and sudo keep the variable of the user they come from: a directory of another owner is no place for us.
    # Where others may write, they could have made, or exchange, our directory in it.
    if given.startswith("/") and _is_own_directory(given, uid, closed_to=0o022):
        return given.rstrip("/") + "/pyrun"
    standard = f"/run/user/{uid}"
    if _is_own_directory(standard, uid, closed_to=0o077):
        return standard + "/pyrun"
    fallback = f"/tmp/pyrun-{uid}"
    try:
        os.mkdir(fallback, 0o700)
    except FileExistsError:
        # /tmp is everybody's: a directory or link that another user made there would let them read our sockets.
        if not _is_own_directory(fallback, uid, closed_to=0o077):
            raise StoreError(
                f"cannot use runtime directory: {fallback}: it is not a directory of yours with mode 0700",
                path=fallback,
                hint="remove it, or set XDG_RUNTIME_DIR to a private directory",
            ) from None
    return fallback


def registries_cache(env: Mapping[str, str]) -> str:
    """Return the path of the parsed configuration of registries, which may not exist. Raises: as `user_runtime_dir`."""
    return user_runtime_dir(env) + "/registries"


def _is_own_directory(path: str, uid: int, *, closed_to: int) -> bool:
    try:
        found = os.lstat(path) if closed_to == 0o077 else os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & closed_to


def _home_root(env: Mapping[str, str]) -> str:
    home = env.get("HOME", "")
    return home.rstrip("/") + "/.local/share/pyrun" if home.startswith("/") else ""


def _data_root(env: Mapping[str, str]) -> str:
    # XDG base directory specification: a relative path is to be ignored.
    data = env.get("XDG_DATA_HOME", "")
    return data.rstrip("/") + "/pyrun" if data.startswith("/") else ""


def _short_hash(text: str) -> str:
    # Not hashlib: it costs 4 ms and OpenSSL; the C module behind it was renamed in Python 3.12.
    if sys.version_info >= (3, 12):
        from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
    else:
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    digest: str = sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return digest[:12]
