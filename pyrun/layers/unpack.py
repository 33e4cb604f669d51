"""One layer from its compressed bytes to a directory, in one pass, verified.

compressed bytes → sha256 → decompress → sha256 of the tar → pyrun-tree, which writes the files.
It must not know the store: the caller makes ``dest_dir``, removes it after an error, and renames it into place.

``dest_dir`` becomes ``tree/`` (the layer in overlay's on-disk form), ``sidecar`` (sidecar.py) and, if so, an empty file
that says that whiteouts are attributes there (lowerdir.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from pyrun.errors import DigestMismatchError, PyrunError, SizeMismatchError, StorageFullError, UnsafeLayerError
from pyrun.layers import compression, pyrun_tree
from pyrun.layers.lowerdir import MARKED_WHITEOUTS, SIDECAR, TREE
from pyrun.layers.pipeline import BlobReader, Hasher, Source, write_all

# design §6: limits against bombs
MINIMUM_LIMIT = 2 << 30
RATIO_LIMIT = 200
ENTRIES_LIMIT = 2_000_000

BUFFER = 512 << 10
BUFFERS = 6


class Descriptor(Protocol):
    """What is needed of an OCI descriptor."""

    @property
    def digest(self) -> str:
        """``algorithm:hex`` of the compressed bytes."""

    @property
    def size(self) -> int:
        """How many there are."""


class LayerReport:
    """What unpacking one layer did."""

    __slots__ = ("blob_bytes", "entries", "file_bytes", "marked_whiteouts", "tar_bytes")

    def __init__(self, report: pyrun_tree.Report, *, blob_bytes: int, tar_bytes: int) -> None:
        self.blob_bytes = blob_bytes
        self.tar_bytes = tar_bytes
        self.file_bytes = report.number("bytes")
        self.entries = report.number("entries")
        self.marked_whiteouts = report.number("marked_whiteouts")


class Limits:
    """How much a layer may unpack to. ``max_bytes`` None: the design's rule."""

    __slots__ = ("max_bytes", "max_entries")

    def __init__(self, max_bytes: int | None = None, max_entries: int = ENTRIES_LIMIT) -> None:
        self.max_bytes = max_bytes
        self.max_entries = max_entries


def unpack_stream(
    source: Source,
    *,
    descriptor: Descriptor,
    diff_id: str,
    dest_dir: str,
    form: str = "full",
    media_type: str = "",
    spawn: pyrun_tree.Spawn = pyrun_tree.spawn_here,
    progress: Callable[[int], None] | None = None,
    limits: Limits | None = None,
    program: str | None = None,
) -> LayerReport:
    """Unpack one layer into ``dest_dir`` (exists, empty).

    ``source``: ``read(n)`` that returns b"" at the end, or an iterator of chunks; it is called on another thread.
    ``form``: ``full`` keeps owners (the helper's namespace must have them), ``flat`` puts them in the sidecar.
    ``media_type`` is only for messages: the compression is found by looking.
    ``progress``: called with the number of compressed bytes so far, on the other thread.
    Nothing is left running or open after an error; what is in ``dest_dir`` then is the caller's to remove.

    Raises:
        DigestMismatchError, SizeMismatchError: blob or tar is not what it should be.
        UnsafeLayerError: no valid archive, or it asks for what no layer may, or it is too large.
        StorageFullError: no space, no quota.
        and whatever ``source`` and ``progress`` raise.
    """
    limits = limits or Limits()
    algorithm, tar_algorithm = _algorithm(descriptor.digest), _algorithm(diff_id)
    allowed, is_space = _limit(limits, descriptor, dest_dir)
    os.mkdir(f"{dest_dir}/{TREE}", 0o700)
    job = _unpack_job(dest_dir, form, allowed, limits.max_entries, spawn, program)
    blob = BlobReader(source, algorithm=algorithm, limit=descriptor.size, progress=progress)
    tar = Hasher(tar_algorithm, buffers=BUFFERS, size=BUFFER)
    try:
        broken = job.feed(blob, tar, media_type)
        status, report = job.wait()
        if status != 0 and is_space and report.text("error") == "limit":
            raise StorageFullError(
                f"cannot unpack layer {descriptor.digest}: it needs more than the {allowed} bytes that are free",
                path=dest_dir, hint="free space, or move the store with --root",
            )  # fmt: skip
        failed = pyrun_tree.failure(report, status, layer=descriptor.digest, path=dest_dir) if status != 0 else None
        if failed is not None and not _may_be_damage(report):
            raise failed
        # Bytes damaged on the way look like a bad archive: the digest decides which of the two to say.
        blob.finish()
        verify_blob(blob, descriptor)
        if broken is not None:
            raise UnsafeLayerError(descriptor.digest, "", f"cannot be decompressed: {broken}") from broken
        if failed is not None:
            raise failed
        tar.finish()
        verify_diff_id(tar, diff_id, descriptor)
    except BaseException:
        job.abandon()
        blob.abandon()
        tar.finish()
        raise
    return _finished(dest_dir, report, blob_bytes=blob.size, tar_bytes=tar.size)


class Unpacker:
    """Unpacks a layer that is made here: `write` its tar, then `finish`; `abandon` after an error.

    ``dest_dir`` (exists, empty) becomes what `unpack_stream` makes of it. Nobody else's digest is there to verify.
    """

    __slots__ = ("_dest_dir", "_job", "_size")

    def __init__(self, dest_dir: str, *, form: str, spawn: pyrun_tree.Spawn) -> None:
        found = os.statvfs(dest_dir)
        os.mkdir(f"{dest_dir}/{TREE}", 0o700)
        self._job = _unpack_job(dest_dir, form, found.f_bavail * found.f_frsize * 95 // 100, ENTRIES_LIMIT, spawn, None)
        self._dest_dir = dest_dir
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. What the helper refuses is told by `finish`."""
        self._size += len(chunk)
        self._job.write(chunk)

    def finish(self) -> LayerReport:
        """Wait for the end. Raises: StorageFullError; UnsafeLayerError; SyscallError."""
        status, report = self._job.wait()
        if status != 0:
            raise pyrun_tree.failure(report, status, layer="", path=self._dest_dir)
        return _finished(self._dest_dir, report, blob_bytes=0, tar_bytes=self._size)

    def abandon(self) -> None:
        """Leave nothing running or open."""
        self._job.abandon()


def _finished(dest_dir: str, report: pyrun_tree.Report, *, blob_bytes: int, tar_bytes: int) -> LayerReport:
    found = LayerReport(report, blob_bytes=blob_bytes, tar_bytes=tar_bytes)
    if found.marked_whiteouts:
        with open(f"{dest_dir}/{MARKED_WHITEOUTS}", "wb"):
            pass
    return found


def _algorithm(digest: str) -> str:
    algorithm = digest.partition(":")[0]
    if algorithm not in ("sha256", "sha384", "sha512"):
        raise PyrunError(f"cannot verify {digest!r}: unknown digest algorithm")
    return algorithm


def _limit(limits: Limits, descriptor: Descriptor, dest_dir: str) -> tuple[int, bool]:
    """Return how many bytes may be unpacked, and whether free space is what bounds it."""
    allowed = limits.max_bytes
    if allowed is None:
        allowed = max(MINIMUM_LIMIT, RATIO_LIMIT * descriptor.size)
    found = os.statvfs(dest_dir)
    free = found.f_bavail * found.f_frsize * 95 // 100
    return (free, True) if free < allowed else (allowed, False)


def _may_be_damage(report: pyrun_tree.Report) -> bool:
    return report.text("error") == "unsafe"


def verify_blob(blob: BlobReader, descriptor: Descriptor) -> None:
    if blob.size != descriptor.size:
        raise SizeMismatchError(f"layer {descriptor.digest}", expected=descriptor.size, actual=blob.size)
    actual = f"{blob.hash.name}:{blob.hash.hexdigest()}"
    if actual != descriptor.digest:
        raise DigestMismatchError(f"layer {descriptor.digest}", expected=descriptor.digest, actual=actual)


def verify_diff_id(tar: Hasher, diff_id: str, descriptor: Descriptor) -> None:
    actual = f"{tar.hash.name}:{tar.hash.hexdigest()}"
    if actual != diff_id:
        raise DigestMismatchError(f"uncompressed layer {descriptor.digest}", expected=diff_id, actual=actual)


def _unpack_job(
    dest_dir: str, form: str, max_bytes: int, max_entries: int, spawn: pyrun_tree.Spawn, program: str | None
) -> TarJob:
    tree = os.open(f"{dest_dir}/{TREE}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sidecar = os.open(f"{dest_dir}/{SIDECAR}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except BaseException:
        os.close(tree)
        raise
    arguments = [
        program or pyrun_tree.program(), "unpack", "--dest-fd", str(tree), "--form", form,
        "--sidecar-fd", str(sidecar), "--max-bytes", str(max_bytes), "--max-entries", str(max_entries),
    ]  # fmt: skip
    return TarJob(arguments, [tree, sidecar], spawn)


class TarJob:
    """A helper process that is fed a tar, and the descriptors that belong to it.

    ``fds``: what it gets beside, closed here once it is started.
    """

    __slots__ = ("_input", "_process", "_report")

    def __init__(self, arguments: list[str], fds: list[int], spawn: pyrun_tree.Spawn, *, stdout_fd: int = 1) -> None:
        fds = [*fds]
        try:
            fds += os.pipe2(os.O_CLOEXEC)
            fds += os.pipe2(os.O_CLOEXEC)
            tar_end, self._input, self._report, report_end = fds[-4:]
            argv = [*arguments, "--report-fd", str(report_end)]
            passed = [*fds[:-4], report_end]
            self._process: pyrun_tree.Process | None = spawn(argv, tar_end, passed, stdout_fd=stdout_fd)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        for fd in (tar_end, *passed):
            os.close(fd)

    def feed(self, blob: BlobReader, tar: Hasher, media_type: str) -> Exception | None:
        """Send the tar to the helper until it ends or the helper does; return what was wrong with the compression."""
        head = b""
        while len(head) < compression.MAGIC_SIZE and (chunk := blob.next()):
            head += chunk
        stream = compression.reader(compression.detect(head), head, blob.next)
        try:
            while True:
                buffer = tar.buffer()
                size = stream.readinto(buffer)
                if not size:
                    return None
                tar.update(buffer, size)
                if not self.write(memoryview(buffer)[:size]):
                    return None
        except compression.errors() as error:
            return error

    def write(self, data: bytes | memoryview) -> bool:
        """Send a piece of tar; False where the helper refused something and ended: its report says what."""
        try:
            write_all(self._input, data)
        except BrokenPipeError:
            return False
        return True

    def wait(self) -> tuple[int, pyrun_tree.Report]:
        """Close the pipe, take the report, reap the helper."""
        os.close(self._input)
        self._input = -1
        report = pyrun_tree.read_report(self._report)
        os.close(self._report)
        self._report = -1
        process, self._process = self._process, None
        return (process.wait() if process is not None else 0), report

    def abandon(self) -> None:
        """Let the helper end, whatever state this is in: the end of its input ends it."""
        for fd in (self._input, self._report):
            if fd >= 0:
                os.close(fd)
        self._input = self._report = -1
        if self._process is not None:
            self._process.wait()
            self._process = None
