"""``diff``: which files of a container are not as in its image.

It must not print. What counts: native/tree/walk.c.
"""

from __future__ import annotations

import os

from pyrun.engine import contents, namespace
from pyrun.layers import pyrun_tree
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


class Change:
    """``kind``: A (added), C (changed) or D (deleted); ``path`` is absolute in the container."""

    __slots__ = ("kind", "path")

    def __init__(self, kind: str, path: str) -> None:
        self.kind = kind
        self.path = path


def diff(layout: Layout, name: str) -> list[Change]:
    """Return the changes of a container, running or not, sorted by path as docker's.

    A directory on the way to a change is a change (C). What is mounted is not looked at.
    Raises: ContainerNotFoundError; SyscallError.
    """
    _, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    config, rootfs = containers.load_file(directory, "config.json"), containers.load_file(directory, "rootfs.json")
    contents.sync(layout, directory, rootfs)
    ignored = [word for path in contents.own_mounts(record, config) for word in ("--ignore", path)]
    arguments = ["changes", "--list", *ignored, *contents.trees(directory, config, rootfs)]
    output = os.memfd_create("pyrun-diff", os.MFD_CLOEXEC)
    try:
        job = pyrun_tree.Job(arguments, spawn=namespace.spawner(layout), stdout_fd=output)
        report, status = job.wait()
        containers.load(directory)  # if it was removed meanwhile, what was read is not all of it
        if status != 0:
            raise pyrun_tree.failure(report, status, layer="", path=record["name"])
        data = _content(output)
    finally:
        os.close(output)
    lines = [os.fsdecode(line) for line in data.split(b"\0") if line]
    return sorted((Change(line[0], line[2:]) for line in lines), key=lambda change: os.fsencode(change.path))


def _content(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read()
