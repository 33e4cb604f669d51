"""``export``: a container's files as one tar archive, without what is mounted in it.

It must not know terminals. The archive is written by the helper, straight to where it goes.
"""

from __future__ import annotations

from pyrun.engine import contents, events, namespace, output_file
from pyrun.layers import pyrun_tree
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def export(layout: Layout, name: str, output_fd: int) -> None:
    """Write the archive of a container, running or not, to a descriptor.

    Raises: ContainerNotFoundError; BrokenPipeError where nobody reads to the end; SyscallError.
    """
    _, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    config, rootfs = containers.load_file(directory, "config.json"), containers.load_file(directory, "rootfs.json")
    contents.sync(layout, directory, rootfs)
    arguments = ["export", *contents.trees(directory, config, rootfs)]
    job = pyrun_tree.Job(arguments, spawn=namespace.spawner(layout), stdout_fd=output_fd)
    report, status = job.wait()
    containers.load(directory)  # if it was removed meanwhile, what was read is not all of it
    if status != 0:
        raise output_failure(report, status, name)
    events.container(layout, "export", record)


def output_failure(report: pyrun_tree.Report, status: int, name: str) -> Exception:
    """Return the error of a helper that wrote an archive for somebody else to read."""
    if status == 128 + 13 or (report.text("syscall") == "write" and report.number("errno") == 32):
        return BrokenPipeError()
    return pyrun_tree.failure(report, status, layer="", path=name)


def export_to_file(layout: Layout, name: str, path: str) -> None:
    """Write the archive to a file, which appears, or is replaced, only when it is whole.

    Raises: as `export`; StoreError where the file cannot be written.
    """
    with output_file.replaced(path) as fd:
        export(layout, name, fd)
