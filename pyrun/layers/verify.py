"""One layer's directory against the archive it was unpacked from: the blob, its tar, and every file, in one pass.

It must not know the store: it gets paths. Nothing is changed. native/tree/verify.c says what is compared.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pyrun.errors import DigestMismatchError, SizeMismatchError, StoreCorruptError, UnsafeLayerError
from pyrun.layers import pyrun_tree, sidecar
from pyrun.layers.lowerdir import MARKED_WHITEOUTS, SIDECAR, TREE
from pyrun.layers.pipeline import BlobReader, Hasher
from pyrun.layers.unpack import BUFFER, BUFFERS, TarJob, verify_blob, verify_diff_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.layers.pipeline import Source
    from pyrun.layers.unpack import Descriptor


class Difference(NamedTuple):
    """``path``: below the layer's root, "" is the root itself; ``what``: a sentence without its subject."""

    path: str
    what: str


class Verified(NamedTuple):
    """``differences``: at most a thousand of the ``total`` that there are; ``unpacked``: bytes of the layer's files."""

    differences: list[Difference]
    total: int
    unpacked: int


def verify_layer(
    source: Source, *, descriptor: Descriptor, diff_id: str, directory: str, form: str, maps: Sequence[str] = (),
    sidecar_path: str, spawn: pyrun_tree.Spawn = pyrun_tree.spawn_here, program: str | None = None,
) -> Verified:  # fmt: skip
    """Compare a layer's directory with its blob. ``form``: ``full`` or ``flat``, ``maps`` what it was derived by.

    ``sidecar_path``: the sidecar that speaks of it. Raises: DigestMismatchError, SizeMismatchError where the blob is
    damaged, UnsafeLayerError where it is no layer: then nothing is known of the directory.
    """
    with _MemoryFile() as told, _MemoryFile() as wanted:
        job = _verify_job(directory, form, maps, told.fd, wanted.fd, spawn, program)
        status, report = _stream(source, job, descriptor, diff_id)
        if status != 0:
            raise pyrun_tree.failure(report, status, layer=descriptor.digest, path=directory)
        differences = _told(told.read())
        beside = _sidecar_differences(wanted.read(), sidecar_path)
    if report.number("marked_whiteouts") and not os.path.exists(f"{directory}/{MARKED_WHITEOUTS}"):
        beside.append(Difference("", f"is not marked as one whose whiteouts are attributes: {MARKED_WHITEOUTS}"))
    count = report.number("findings") + len(beside)
    return Verified(differences + beside, count, report.number("bytes"))


def verify_tree(
    archive_fd: int, *, directory: str, maps: Sequence[str], spawn: pyrun_tree.Spawn = pyrun_tree.spawn_here
) -> list[Difference]:
    """Compare a directory with a tar that was made here, without a sidecar. Raises: as `verify_layer`."""
    tree = os.open(f"{directory}/{TREE}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with _MemoryFile() as told:
            arguments = ["verify", "--dest-fd", str(tree), *(word for extent in maps for word in ("--map", extent))]
            job = pyrun_tree.Job(arguments, spawn=spawn, pass_fds=[tree], stdin_fd=archive_fd, stdout_fd=told.fd)
            report, status = job.wait()
            if status != 0:
                raise pyrun_tree.failure(report, status, layer="", path=directory)
            return _told(told.read())
    finally:
        os.close(tree)


def verify_bytes(source: Source, *, descriptor: Descriptor) -> None:
    """Compare a blob with its descriptor. Raises: DigestMismatchError, SizeMismatchError."""
    blob = BlobReader(source, algorithm=descriptor.digest.partition(":")[0], limit=descriptor.size, progress=None)
    blob.finish()
    verify_blob(blob, descriptor)


def _stream(source: Source, job: TarJob, descriptor: Descriptor, diff_id: str) -> tuple[int, pyrun_tree.Report]:
    algorithm = descriptor.digest.partition(":")[0]
    blob = BlobReader(source, algorithm=algorithm, limit=descriptor.size, progress=None)
    tar = Hasher(diff_id.partition(":")[0], buffers=BUFFERS, size=BUFFER)
    try:
        broken = job.feed(blob, tar, "")
        status, report = job.wait()
        blob.finish()
        verify_blob(blob, descriptor)
        if broken is not None:
            raise UnsafeLayerError(descriptor.digest, "", f"cannot be decompressed: {broken}") from broken
        tar.finish()
        if status == 0:
            verify_diff_id(tar, diff_id, descriptor)
    except BaseException:
        job.abandon()
        blob.abandon()
        tar.finish()
        raise
    return status, report


def _verify_job(
    directory: str, form: str, maps: Sequence[str], told: int, wanted: int, spawn: pyrun_tree.Spawn, program: str | None
) -> TarJob:
    # O_PATH: a tree whose mode is damaged may be closed to us; the helper opens it as root of the engine namespace.
    tree = os.open(f"{directory}/{TREE}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    sidecar_fd = os.dup(wanted)
    arguments = [program or pyrun_tree.program(), "verify", "--dest-fd", str(tree), "--form", form]
    for extent in maps:
        arguments += ["--map", extent]
    return TarJob([*arguments, "--sidecar-fd", str(sidecar_fd)], [tree, sidecar_fd], spawn, stdout_fd=told)


def _told(data: bytes) -> list[Difference]:
    words = data.split(b"\0")
    return [Difference(os.fsdecode(words[i]), os.fsdecode(words[i + 1])) for i in range(0, len(words) - 1, 2)]


def _sidecar_differences(wanted: bytes, path: str) -> list[Difference]:
    try:
        with open(path, "rb") as file:
            found = file.read()
    except FileNotFoundError:
        return [Difference(SIDECAR, "is missing")]
    if found == wanted:
        return []
    try:
        there, right = sidecar.records(found, path), sidecar.records(wanted, path)
    except StoreCorruptError:
        return [Difference(SIDECAR, "is not in its format")]
    names = [name for name in {**right, **there} if there.get(name) != right.get(name)]
    if not names:
        return [Difference(SIDECAR, "is not as it was written")]
    return [Difference(os.fsdecode(name), _sidecar_sentence(there.get(name), right.get(name))) for name in names]


def _sidecar_sentence(there: bytes | None, right: bytes | None) -> str:
    def shown(facts: bytes | None) -> str:
        return "nothing" if facts is None else repr(facts.decode("ascii", "replace"))

    return f"has {shown(there)} in the sidecar, not {shown(right)}"


class _MemoryFile:
    """A file that a helper writes and this process reads."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("pyrun-verify", os.MFD_CLOEXEC)

    def __enter__(self) -> _MemoryFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def read(self) -> bytes:
        size, data = os.fstat(self.fd).st_size, b""
        while len(data) < size and (piece := os.pread(self.fd, size - len(data), len(data))):
            data += piece
        return data


DAMAGE = (DigestMismatchError, SizeMismatchError, UnsafeLayerError)
