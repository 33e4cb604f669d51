"""``cp``: files between a container and the host, as tar from one helper process to another.

Each side has its own helper: the container's in the engine namespace, on a tree that holds nothing but the container
(inside.py); the host's with the caller's rights. Neither follows a link by name, and nothing of the container's is
executed or loaded. It must not print. Which path means what: cp_paths.py; what the host has there: cp_host.py.
"""

from __future__ import annotations

import os

from pyrun.engine import cp_host, events
from pyrun.engine.cp_paths import Source, Target, absolute, asserts_directory, place
from pyrun.engine.export import output_failure
from pyrun.engine.inside import Inside
from pyrun.errors import ConflictError, InvalidInputError, NotFoundError, PyrunError
from pyrun.layers import pyrun_tree
from pyrun.runtime.engine_ns import FORM_FLAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.store.layout import Layout


class Copied:
    """What was copied to where: ``content_bytes`` of the files (-1: not known), ``archive_bytes`` on the way."""

    __slots__ = ("archive_bytes", "content_bytes", "target")

    def __init__(self, content_bytes: int, archive_bytes: int, target: str) -> None:
        self.content_bytes = content_bytes
        self.archive_bytes = archive_bytes
        self.target = target


class Options:
    """``archive``: keep owners; ``follow``: copy what the source leads to, where it is a link."""

    __slots__ = ("archive", "follow")

    def __init__(self, *, archive: bool = False, follow: bool = False) -> None:
        self.archive = archive
        self.follow = follow


def copy_from(layout: Layout, name: str, path: str, target: str, options: Options) -> Copied:
    """Copy a file or directory of a container to the host. Owner: the caller's; with ``archive`` and root, its own.

    Raises: ContainerNotFoundError; NotFoundError; InvalidInputError; ConflictError; SyscallError.
    """
    goal = absolute(target, os.getcwd())
    cp_host.check_output(goal)
    with Inside(layout, name) as inside:
        source, found, where = _look(inside, name, path, follow=options.follow)
        directory, called = place(source, cp_host.target(goal))
        directory_fd = cp_host.open_directory(directory)
        try:
            owner = [] if options.archive and os.geteuid() == 0 else ["--owner", "self"]
            unpack = ["unpack", "--dest-fd", str(directory_fd), "--into", "", *owner]
            sent = _transfer(
                lambda fd: inside.start(*_pack(inside.fd, where, called, inside.id_maps()), stdout_fd=fd),
                lambda fd: pyrun_tree.Job(unpack, spawn=pyrun_tree.spawn_here, pass_fds=[directory_fd], stdin_fd=fd),
                goal,
            )
        finally:
            os.close(directory_fd)
        events.container(layout, "archive-path", inside.record)
    return Copied(-1 if source.is_directory else found.number("size"), sent, goal)


def archive_of(layout: Layout, name: str, path: str, output_fd: int, options: Options) -> None:
    """Write the archive of a file or directory of a container to a descriptor. Raises: as `copy_from`."""
    with Inside(layout, name) as inside:
        source, _, where = _look(inside, name, path, follow=options.follow)
        pack = _pack(inside.fd, where, source.name, inside.id_maps())
        report, status = inside.start(*pack, stdout_fd=output_fd).wait()
        if status != 0:
            raise output_failure(report, status, f"{name}:{path}")
        events.container(layout, "archive-path", inside.record)


def copy_to(layout: Layout, path: str, name: str, target: str, options: Options) -> Copied:
    """Copy a file or directory of the host into a container. Owner: its root; with ``archive`` the same numbers.

    Raises: as `copy_from`.
    """
    origin = absolute(path, os.getcwd())
    real, is_directory = cp_host.source(origin, follow=options.follow)
    source = Source(origin, is_directory=is_directory)
    with Inside(layout, name) as inside:
        goal = _target(inside, name, target)
        directory, called = place(source, goal)
        parent_fd = os.open(os.path.dirname(real), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            pack = _pack(parent_fd, os.path.basename(real), called, [])
            into = _unpack(inside, name, directory, options)
            sent = _transfer(
                lambda fd: pyrun_tree.Job(pack, spawn=pyrun_tree.spawn_here, pass_fds=[parent_fd], stdout_fd=fd),
                lambda fd: inside.start(*into, stdin_fd=fd),
                f"{name}:{goal.path}",
            )
        finally:
            os.close(parent_fd)
        events.container(layout, "extract-to-dir", inside.record)
    return Copied(cp_host.size(real, is_directory), sent, goal.path)


def extract(layout: Layout, name: str, target: str, input_fd: int, options: Options) -> None:
    """Unpack a tar archive, compressed or not, from a descriptor into a directory of a container.

    Raises: as `copy_from`; UnsafeLayerError for what is no archive.
    """
    with Inside(layout, name) as inside:
        goal = _target(inside, name, target)
        if not goal.is_directory:
            raise InvalidInputError(f'destination "{name}:{target}" must be a directory')
        into = _unpack(inside, name, goal.path, options)
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            job = inside.start(*into, stdin_fd=read_end)
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        try:
            _feed(input_fd, write_end)
        finally:
            os.close(write_end)
            report, status = job.wait()
        if status != 0:
            raise _failure(report, status, f"{name}:{target}")
        events.container(layout, "extract-to-dir", inside.record)


def _feed(input_fd: int, output_fd: int) -> None:
    """Decompress what is compressed, until the reader has had enough."""
    from pyrun.layers import compression
    from pyrun.layers.pipeline import CHUNK, write_all

    head = b""
    while len(head) < compression.MAGIC_SIZE and (piece := os.read(input_fd, CHUNK)):
        head += piece
    stream = compression.reader(compression.detect(head), head, lambda: os.read(input_fd, CHUNK))
    buffer = bytearray(CHUNK)
    try:
        while size := stream.readinto(buffer):
            write_all(output_fd, memoryview(buffer)[:size])
    except BrokenPipeError:
        return  # it refused something; its report says what
    except compression.errors() as error:
        raise InvalidInputError(f"cannot read the archive: it cannot be decompressed: {error}") from error


def _pack(root_fd: int, path: str, name: str, maps: list[str]) -> list[str]:
    return ["pack", "--root-fd", str(root_fd), "--path", path, "--name", name, *maps]


def _unpack(inside: Inside, name: str, directory: str, options: Options) -> list[str]:
    found = inside.look(directory, follow=True)
    if not found.text("kind"):
        raise _missing(directory, name)
    if found.text("kind") != "directory":
        raise InvalidInputError(f"extraction point is not a directory: {name}:{directory}")
    _check_writable(inside, found.text("path"))
    words = ["unpack", "--dest-fd", str(inside.fd), "--into", found.text("path")]
    if inside.rootfs["form"] == FORM_FLAT:
        return [*words, "--owner", "self"]  # there is no other
    if options.archive:
        return [*words, *inside.id_maps(inwards=True)]
    return [*words, "--owner", inside.root_ids()]


def _check_writable(inside: Inside, path: str) -> None:
    """Docker's words where the kernel would say: read-only file system."""
    for mount in inside.record["mounts"]:
        where = mount["destination"].rstrip("/")
        if path == where or path.startswith(where + "/"):
            if not mount["rw"]:
                raise InvalidInputError(f"mounted volume is marked read-only: {mount['destination']}")
            return
    if inside.rootfs["readonly"]:
        raise InvalidInputError("container rootfs is marked read-only")


def _look(inside: Inside, name: str, path: str, *, follow: bool) -> tuple[Source, pyrun_tree.Report, str]:
    """Return the source, what is there, and where it is without links on the way."""
    whole = absolute(_required(path))
    wants_directory = asserts_directory(whole)
    found = inside.look(whole, follow=follow or wants_directory)
    kind = found.text("kind")
    if not kind:
        raise _missing(whole, name)
    if wants_directory and kind != "directory":
        raise InvalidInputError(f"cannot copy {name}:{path}: not a directory")
    return Source(whole, is_directory=kind == "directory"), found, found.text("path")


def _target(inside: Inside, name: str, path: str) -> Target:
    whole = absolute(_required(path))
    found = inside.look(whole, follow=asserts_directory(whole))
    if found.text("kind") == "link":
        whole = found.text("target") or whole
        found = inside.look(whole, follow=True)
    kind = found.text("kind")
    if kind == "other":
        raise InvalidInputError(f'destination "{name}:{path}" must be a directory or a regular file')
    exists = kind == "directory" or (kind == "file" and not asserts_directory(whole))
    return Target(whole, exists=exists, is_directory=kind == "directory")


def _required(path: str) -> str:
    if not path:
        raise InvalidInputError("path cannot be empty", hint="name one: CONTAINER:PATH")
    return path


def _missing(path: str, name: str) -> NotFoundError:
    return NotFoundError(f"could not find the file {path} in container {name}")


def _transfer(pack: Callable[[int], pyrun_tree.Job], unpack: Callable[[int], pyrun_tree.Job], what: str) -> int:
    """Run the two helpers, one's output the other's input; return the archive's bytes."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    jobs: list[pyrun_tree.Job] = []
    try:
        jobs.append(unpack(read_end))
        jobs.append(pack(write_end))
    finally:
        os.close(read_end)
        os.close(write_end)
        # Closed before anybody waits: the end of one is the end of the other's input.
        ends = [job.wait() for job in reversed(jobs)]
    (packed, pack_status), (unpacked, unpack_status) = ends
    if pack_status != 0:
        error = output_failure(packed, pack_status, what)
        # A pipe that breaks has its reason on the other side; an archive that is cut short on this one.
        if not isinstance(error, BrokenPipeError) or unpack_status == 0:
            raise error
    if unpack_status != 0:
        raise _failure(unpacked, unpack_status, what)
    return packed.number("bytes")


def _failure(report: pyrun_tree.Report, status: int, what: str) -> PyrunError:
    entry, reason = report.text("entry"), report.text("reason")
    if report.text("error") == "unsafe":
        return ConflictError(": ".join(word for word in (f"cannot copy to {what}", entry, reason) if word))
    return pyrun_tree.failure(report, status, layer="", path=what)
