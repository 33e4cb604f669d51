"""A layer that is made here, as a blob and as a tree, both written in one pass below tmp/: a ``commit``, an ``import``.

It must not know images: it hands back what was staged, for `Fetch` to publish or to discard.
"""

from __future__ import annotations

import fcntl
import os

from pyrun.engine import contents, namespace
from pyrun.engine.fetch import Staged
from pyrun.layers import pyrun_tree
from pyrun.layers.unpack import Unpacker
from pyrun.layers.write import read_chunks, write_layer
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.store import containers, fsio, leases, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.layers.write import Written
    from pyrun.store.layout import Layout

_PIPE_BYTES = 1 << 20  # pipe(7): what a user may ask for; the helpers then wait for each other less often


def write(layout: Layout, directory: str, record: dict[str, Any], lease: leases.Lease) -> Staged | None:
    """Write what the container has changed; None where there is nothing.

    Raises: StorageFullError; SyscallError; ContainerNotFoundError where it has just been removed.

    The caller registers the remover of trees before (`namespace.register`).
    """
    config, rootfs = containers.load_file(directory, "config.json"), containers.load_file(directory, "rootfs.json")
    contents.sync(layout, directory, rootfs)
    ignored = [word for path in contents.own_mounts(record, config) for word in ("--ignore", path)]
    arguments = ["changes", *ignored, *contents.trees(directory, config, rootfs)]
    spawn = namespace.spawner(layout)

    def pack(blob_fd: int, unpacker: Unpacker) -> Written:
        try:
            return _pack(spawn, arguments, blob_fd, unpacker, record["name"])
        finally:
            containers.load(directory)  # if it was removed meanwhile, what was read is not all of it

    return stage(layout, lease, pack)


def stage(layout: Layout, lease: leases.Lease, pack: Callable[[int, Unpacker], Written]) -> Staged | None:
    """Write the layer that ``pack`` gives to a blob's descriptor and to an unpacker; None where there is nothing.

    Raises: StorageFullError; UnsafeLayerError; what ``pack`` raises.
    """
    blob, tree = (f"{layout.tmp}/{owner.token()}" for _ in range(2))
    try:
        os.mkdir(tree, 0o700)
        written, unpacked_bytes = _write(layout, blob, tree, pack)
        if not written.tar_bytes:
            _discard(blob, tree)
            return None
        lease.add([written.digest, written.diff_id])
        staged = Staged(Descriptor(media_types.OCI_LAYER_GZIP, written.digest, written.blob_bytes), written.diff_id)
        staged.blob, staged.tree, staged.unpacked_bytes = blob, tree, unpacked_bytes
        return staged
    except BaseException as error:
        _discard(blob, tree)
        if isinstance(error, OSError):
            raise fsio.full_or(error, blob) from error
        raise


def _discard(blob: str, tree: str) -> None:
    fsio.unlink_quietly(blob)
    if os.path.lexists(tree):
        trees.remove_tree(tree)


def _write(layout: Layout, blob: str, tree: str, pack: Callable[[int, Unpacker], Written]) -> tuple[Written, int]:
    unpacker = Unpacker(tree, form=namespace.form(), spawn=namespace.spawner(layout))
    try:
        blob_fd = os.open(blob, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            written = pack(blob_fd, unpacker)
        finally:
            os.close(blob_fd)
        return written, unpacker.finish().file_bytes
    except BaseException:
        unpacker.abandon()
        raise


def _pack(
    spawn: pyrun_tree.Spawn, arguments: list[str], blob_fd: int, unpacker: Unpacker, name: str
) -> Written:  # fmt: skip
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            job = pyrun_tree.Job(arguments, spawn=spawn, stdout_fd=write_end)
        finally:
            os.close(write_end)
        try:
            written = write_layer(read_chunks(read_end), blob_fd, unpacker.write)
        finally:
            os.close(read_end)
            read_end = -1
            report, status = job.wait()
    finally:
        if read_end >= 0:
            os.close(read_end)
    if status != 0:
        raise pyrun_tree.failure(report, status, layer="", path=name)
    return written
