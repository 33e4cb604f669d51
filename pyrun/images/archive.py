"""The files of an image archive, by name, wherever they are: in a tar, kept from a pipe, or in a directory.

It must not know what they mean (archive_images.py), nor the store: what a pipe brings is kept in a directory that the
caller owns. A name is only ever looked up here: no link of the archive is followed by the kernel.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from pyrun.images import tar_header, tar_stream
from pyrun.images.tar_header import invalid
from pyrun.images.tar_stream import CHUNK, FileStream, PipeStream
from pyrun.layers import compression
from pyrun.oci import digest as digests
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_MAX_LINKS = 8
_MAX_READ = 64 << 20  # documents stay in memory; a thousand images have 20 MiB of them
_OWN_FILE = 1 << 20  # a smaller member of a pipe is copied again when it is a blob, which costs nothing


class Member:
    """A file of the archive; ``path`` is "" in a tar that is read where it is; ``link``: it only names another.

    ``digest``: of its bytes, where it was kept from a pipe as a file of its own.
    """

    __slots__ = ("digest", "link", "offset", "path", "size")

    def __init__(self, size: int, *, path: str = "", offset: int = 0, link: str = "", digest: str = "") -> None:
        self.size = size
        self.path = path
        self.offset = offset
        self.link = link
        self.digest = digest


class Archive:
    """An archive's members by name. The caller closes the descriptor."""

    __slots__ = ("_fd", "_members", "_read")

    def __init__(self, fd: int = -1) -> None:
        self._fd = fd
        self._read = 0
        self._members: dict[str, Member] = {}

    def add(self, name: str, member: Member) -> None:
        """Add a member. Raises: InvalidInputError: the name is taken; which of the two it means nobody can know."""
        if name in self._members:
            raise invalid(f"an entry is there twice: {name[:200]!r}")
        self._members[name] = member

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def find(self, name: str) -> Member:
        """Return a file by its name, or that of a link to it. Raises: InvalidInputError: it is missing, or no file."""
        wanted = name
        for _ in range(_MAX_LINKS):
            member = self._members.get(tar_stream.plain(wanted))
            if member is None:
                raise invalid(f"a file is missing: {name[:200]!r}")
            if not member.link:
                return member
            wanted = member.link
        raise invalid(f"a link leads nowhere: {name[:200]!r}")

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file whole.

        Raises: InvalidInputError: it is missing, larger than ``limit``, or the last of too many.
        """
        member = self.find(name)
        if member.size > limit:
            raise invalid(f"{name[:200]!r}: {member.size} bytes are more than the limit of {limit}")
        self._read += member.size
        if self._read > _MAX_READ:
            raise invalid(f"its documents are more than {_MAX_READ >> 20} MiB")
        return b"".join(self.chunks(member))

    def chunks(self, member: Member, offset: int = 0) -> Generator[bytes, None, None]:
        """Give a file's bytes from ``offset`` on. Raises: InvalidInputError: it has become shorter."""
        fd = os.open(member.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) if member.path else self._fd
        try:
            while offset < member.size:
                chunk = os.pread(fd, min(CHUNK, member.size - offset), member.offset + offset)
                if not chunk:
                    raise invalid("it ends in the middle")
                offset += len(chunk)
                yield chunk
        finally:
            if member.path:
                os.close(fd)


def of_file(fd: int) -> Archive:
    """List a tar that can be read at any place: nothing of it is copied. Raises: InvalidInputError."""
    archive, stream = Archive(fd), FileStream(fd)
    for header in tar_stream.entries(stream):
        if header.kind == tar_header.FILE:
            archive.add(header.name, Member(header.size, offset=stream.position))
        else:
            _add_link(archive, header)
    return archive


def of_pipe(fd: int, head: bytes, directory: str, held: Callable[[str], str]) -> Archive:
    """Keep what a pipe (or a compressed file) brings in ``directory`` (exists, empty).

    ``held(digest)`` names a file that has these bytes already, or "": then they are not kept again.
    Raises: InvalidInputError; OSError where there is no room.
    """
    archive, stream = Archive(), PipeStream(fd, head)
    small = os.open(f"{directory}/small", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        end = 0
        for header in tar_stream.entries(stream):
            if header.kind != tar_header.FILE:
                _add_link(archive, header)
            elif header.size >= _OWN_FILE:
                archive.add(header.name, _keep(stream, header, f"{directory}/{stream.position}", held))
            else:
                archive.add(header.name, Member(header.size, path=f"{directory}/small", offset=end))
                for chunk in tar_stream.contents(stream, header.size):
                    fsio.write_all(small, chunk)
                    end += len(chunk)
    finally:
        os.close(small)
    stream.drain()
    return archive


def of_directory(path: str) -> Archive:
    """List a directory that holds what an archive would. Raises: InvalidInputError; OSError."""
    archive, count = Archive(), 0
    for parent, _, names in os.walk(path, onerror=_raise):
        for name in names:
            count += 1
            if count > tar_stream.MAX_ENTRIES:
                raise invalid(f"it has more than {tar_stream.MAX_ENTRIES} entries")
            full = f"{parent}/{name}"
            found = os.lstat(full)
            inside = os.path.relpath(full, path)
            if stat.S_ISREG(found.st_mode):
                archive.add(inside, Member(found.st_size, path=full))
            elif stat.S_ISLNK(found.st_mode):
                link = tar_header.Header(inside, tar_header.SYMLINK, link=os.readlink(full))
                _add_link(archive, link)
    return archive


def is_plain_tar(fd: int, head: bytes) -> bool:
    """Say whether a descriptor is a file that can be read where it is: no pipe, not compressed, at its beginning."""
    try:
        is_at_head = os.lseek(fd, 0, os.SEEK_CUR) == len(head)
    except OSError as error:
        if error.errno != errno.ESPIPE:
            raise
        return False
    return is_at_head and stat.S_ISREG(os.fstat(fd).st_mode) and compression.detect(head) == "none"


def _keep(stream: PipeStream, header: tar_header.Header, path: str, held: Callable[[str], str]) -> Member:
    named = "sha256:" + header.name.rpartition("/")[2]
    is_named = header.name.startswith("blobs/sha256/") and digests.is_well_formed(named)
    if is_named and (there := held(named)) and os.stat(there).st_size == header.size:
        stream.skip(header.size)
        return Member(header.size, path=there)
    state = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for chunk in tar_stream.contents(stream, header.size):
            state.update(chunk)
            fsio.write_all(fd, chunk)
    finally:
        os.close(fd)
    return Member(header.size, path=path, digest=f"sha256:{state.hexdigest()}")


def _add_link(archive: Archive, header: tar_header.Header) -> None:
    """Add a link that stays within the archive; directories and all else are of no interest.

    A symlink is meant from its directory (`ID/layer.tar` → `../OTHER/layer.tar`), a hard link from the top: pax(1).
    """
    if header.kind not in (tar_header.SYMLINK, tar_header.HARD_LINK):
        return
    target = header.link
    if header.kind == tar_header.SYMLINK and not target.startswith("/"):
        target = os.path.normpath(f"{os.path.dirname(header.name)}/{target}".lstrip("/"))
    archive.add(header.name, Member(0, link=tar_stream.plain(target)))


def _raise(error: OSError) -> None:
    raise error
