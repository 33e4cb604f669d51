"""The verbs image mount and image unmount: an image's files under a path that the user's own programs can read.

A mount made in a user namespace is not seen outside, so fusermount3 makes one here, for FUSE, and a helper in the
engine namespace answers it (native/tree/serve.c): files of subordinate owners can be read, owners and modes are the
image's. Where that is refused the image is copied. It must not print. Cold.
"""

from __future__ import annotations

import os
import socket

from pyrun.engine import contents, namespace
from pyrun.errors import ConflictError, FeatureMissingError, NotFoundError
from pyrun.images import resolve
from pyrun.layers import pyrun_tree
from pyrun.oci.digest import short
from pyrun.runtime.engine_ns import FORM_FLAT
from pyrun.store import fsio, image_mounts, index, leases, trees
from pyrun.store.image_mounts import COPIED, SERVED, ImageMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout

# An own name for each: what fusermount3 unmounts after a helper was killed must not be the next one's.
_RANDOM_BYTES = 3
_EBUSY = 16


class Mounted:
    """What `mount` did; ``lost`` is a sentence about what a copy lacks, "" for a view that is served."""

    __slots__ = ("lost", "mount")

    def __init__(self, mount: ImageMount, lost: str = "") -> None:
        self.mount = mount
        self.lost = lost


def mount_image(layout: Layout, text: str) -> Mounted:
    """Mount an image, or return where it is mounted already.

    Raises: ImageNotFoundError; StoreCorruptError where layers are missing; StorageFullError, SyscallError.
    """
    digest = resolve.find_entry(layout, text)["digest"]
    with leases.acquire(layout, [digest]), fsio.FileLock(layout.mounts_lock, exclusive=True):
        record = resolve.load_record(layout, digest)
        form = namespace.form()
        contents.require_layers(layout, record, form, "mount", text)
        image_mounts.sweep(layout)
        for mount in image_mounts.alive(layout):
            if mount.manifest == digest:
                return Mounted(mount)
        missing = _fuse_missing()
        if not missing:
            try:
                return Mounted(_serve(layout, record, form))
            except FeatureMissingError as error:
                missing = error.needs
        why = f"FUSE is not available: {missing}: the image was copied; owners and devices are not the image's"
        return Mounted(_copy(layout, record, form), why)


def mounts(layout: Layout) -> list[tuple[ImageMount, list[str]]]:
    """Return the mounted images with their names, oldest first."""
    entries = index.entries(layout)
    found = []
    for mount in image_mounts.alive(layout):
        names = [index.ref_name(entry) for entry in entries if entry["digest"] == mount.manifest]
        found.append((mount, [name for name in names if name]))
    return found


def unmount_image(layout: Layout, text: str, *, force: bool = False) -> str:
    """Unmount an image; return its id. ``force``: also while a program is in it, which keeps what it has open.

    Raises: ImageNotFoundError; NotFoundError if it is not mounted; ConflictError if it is in use.
    """
    found = _mounted(layout, text)
    with fsio.FileLock(layout.mounts_lock, exclusive=True):
        _unmount(layout, found, text, force=force)
    return found.id


def unmount_all(layout: Layout, *, force: bool = False) -> list[str]:
    """Unmount all images; return their ids. Raises: ConflictError, for the first that is in use."""
    with fsio.FileLock(layout.mounts_lock, exclusive=True):
        image_mounts.sweep(layout)
        found = image_mounts.alive(layout)
        for mount in found:
            _unmount(layout, mount, short(mount.id), force=force)
    return [mount.id for mount in found]


def _mounted(layout: Layout, text: str) -> ImageMount:
    digest = resolve.find_entry(layout, text)["digest"]
    for mount in image_mounts.alive(layout):
        if mount.manifest == digest:
            return mount
    raise NotFoundError(f"cannot unmount image: {text}: it is not mounted", hint="`pyrun image mount` lists what is")


def _unmount(layout: Layout, mount: ImageMount, text: str, *, force: bool) -> None:
    if mount.kind == SERVED:
        program = image_mounts.fusermount()
        if not program:
            raise FeatureMissingError("fusermount3", "it made the mount, and is not installed any more")
        option = "-uz" if force else "-u"
        errors = os.memfd_create("fusermount", os.MFD_CLOEXEC)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, errors, 2)]
            pid = os.posix_spawn(program, [program, option, "--", mount.path], os.environ, file_actions=actions)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.lseek(errors, 0, os.SEEK_SET)
            said = os.read(errors, 4096).decode("utf-8", "replace").strip()
        finally:
            os.close(errors)
        if status != 0 and os.path.ismount(mount.path):
            reason = "a program uses it" if os.strerror(_EBUSY) in said else said or f"{program} ended with {status}"
            hint = f"end what is in {mount.path}, or `pyrun image unmount --force {text}`"
            raise ConflictError(f"cannot unmount image: {text}: {reason}", hint=hint)
    image_mounts.forget(layout, mount)


def _record(record: dict[str, Any], kind: str, path: str) -> dict[str, Any]:
    return {"manifest": record["manifest"], "image_id": record["image_id"], "kind": kind, "path": path}


def _new_name(record: dict[str, Any]) -> str:
    return f"{short(record['image_id'])}-{os.urandom(_RANDOM_BYTES).hex()}"


def _layers(layout: Layout, record: dict[str, Any], form: str) -> list[str]:
    words = ["--flat"] if form == FORM_FLAT else []
    return words + contents.image_layers(layout, [layer["diff_id"] for layer in record["layers"]], form)


def _fuse_missing() -> str:
    if os.environ.get("PYRUN_ROOTFS") == "copy":  # as for a container's root: engine/root_choice.py
        return "PYRUN_ROOTFS=copy asks for none"
    if not image_mounts.fusermount():
        return "fusermount3 is not installed (package fuse3)"
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "/dev/fuse cannot be opened"


def _serve(layout: Layout, record: dict[str, Any], form: str) -> ImageMount:
    """Mount through FUSE. Raises: FeatureMissingError if fusermount3 will not."""
    name = _new_name(record)
    path = layout.mount_point(name)
    building, lock_fd = image_mounts.begin(layout, _record(record, SERVED, path))
    device_fd = -1
    try:
        directory = image_mounts.publish(layout, building, name)
        mount = ImageMount(directory, {**_record(record, SERVED, path), "made": ""})
        fsio.make_directory(path)  # there is a record of it: if we are killed, a sweep finds it
        device_fd, watched_fd = _mount_device(path, record["image_id"])
        try:
            _start_helper(layout, _layers(layout, record, form), device_fd, (lock_fd, watched_fd))
        finally:
            os.close(watched_fd)
    except BaseException:
        os.close(lock_fd)
        lock_fd = -1
        image_mounts.sweep(layout)
        trees.remove_tree(building)
        raise
    finally:
        for fd in (device_fd, lock_fd):
            if fd >= 0:
                os.close(fd)
    return mount


def _start_helper(layout: Layout, layers: list[str], device_fd: int, keep: tuple[int, ...]) -> None:
    """Start the helper and wait until it serves; it stays. Raises: SyscallError."""
    report, report_end = os.pipe2(os.O_CLOEXEC)
    try:
        argv = [pyrun_tree.program(), "serve", "--device-fd", str(device_fd), "--report-fd", str(report_end), *layers]
        spawn = namespace.spawner(layout)
        process = spawn(argv, -1, [device_fd, report_end, *keep])
        os.close(report_end)
        report_end = -1
        found = pyrun_tree.read_report(report)
        if not found.number("serving") or found.failed:
            raise pyrun_tree.failure(found, process.wait(), layer="", path="view of an image")
    finally:
        os.close(report)
        if report_end >= 0:
            os.close(report_end)


def _mount_device(path: str, image_id: str) -> tuple[int, int]:
    """Let fusermount3 mount; return /dev/fuse, and the socket with whose last copy it unmounts again.

    It gets the number of its end of a socket in the environment and sends the descriptor: libfuse lib/mount.c. With
    ``auto_unmount`` it stays until the other end is closed.
    """
    program = image_mounts.fusermount()
    ours, theirs = socket.socketpair()
    errors = os.memfd_create("fusermount", os.MFD_CLOEXEC)
    try:
        options = f"ro,nosuid,nodev,auto_unmount,subtype=pyrun,fsname={short(image_id)}"
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors, 2),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), theirs.fileno()),
        ]
        environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
        os.posix_spawn(program, [program, "-o", options, "--", path], environment, file_actions=actions)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        if not fds:
            os.lseek(errors, 0, os.SEEK_SET)
            said = os.read(errors, 4096).decode("utf-8", "replace").strip()
            raise FeatureMissingError("FUSE", said or f"{program} mounts nothing")
        os.set_inheritable(fds[0], False)
        return fds[0], ours.detach()
    finally:
        os.close(errors)
        ours.close()
        theirs.close()


def _copy(layout: Layout, record: dict[str, Any], form: str) -> ImageMount:
    """Copy the image's files, each the user's own and readable to him."""
    name = _new_name(record)
    facts = _record(record, COPIED, f"{layout.mount(name)}/{image_mounts.TREE}")
    building, lock_fd = image_mounts.begin(layout, facts)
    os.close(lock_fd)
    tree_fd = sidecar_fd = -1
    ends = list(os.pipe2(os.O_CLOEXEC))
    try:
        os.mkdir(f"{building}/{image_mounts.TREE}", 0o755)
        fsio.make_directory(f"{building}/empty")
        tree_fd = os.open(f"{building}/{image_mounts.TREE}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        sidecar_fd = os.open(f"{building}/sidecar", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        pack = ["export", "--upper", f"{building}/empty", *_layers(layout, record, form)]
        unpack = ["unpack", "--dest-fd", str(tree_fd), "--sidecar-fd", str(sidecar_fd), "--form", "flat"]
        sender = pyrun_tree.Job(pack, spawn=namespace.spawner(layout), stdout_fd=ends[1])
        os.close(ends.pop())
        taker = pyrun_tree.Job(
            unpack, spawn=pyrun_tree.spawn_here, stdin_fd=ends[0], pass_fds=[tree_fd, sidecar_fd]
        )  # fmt: skip
        os.close(ends.pop())
        for job in (taker, sender):
            report, status = job.wait()
            if status != 0:
                raise pyrun_tree.failure(report, status, layer="", path=building)
        image_mounts.publish(layout, building, name)
    except BaseException:
        trees.remove_tree(building)
        raise
    finally:
        for fd in (*ends, tree_fd, sidecar_fd):
            if fd >= 0:
                os.close(fd)
    return next(mount for mount in image_mounts.alive(layout) if mount.path == facts["path"])
