"""Blobs: verified bytes under their digest in oci/blobs.

It must not know what a blob means. A blob appears by one rename after its digest and size were verified, is read-only
from then on, and is never written again. Cold.
"""

from __future__ import annotations

import os

from pyrun.errors import StoreCorruptError
from pyrun.oci import digest as digests
from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from pyrun.store.layout import Layout

BLOB_MODE = 0o444
CHUNK_BYTES = 1 << 18


def exists(layout: Layout, digest: str) -> bool:
    """Say whether the store has a blob."""
    return os.path.exists(layout.blob(digest))


def read(layout: Layout, digest: str) -> bytes:
    """Read a small blob (manifest, config) and verify it.

    Raises: StoreCorruptError if it is missing or other bytes lie under its name.
    """
    path = layout.blob(digest)
    try:
        data = fsio.read_bytes(path)
    except FileNotFoundError:
        raise StoreCorruptError(
            f"blob is missing: {digest}", path=path, hint="pull the image again: `pyrun pull IMAGE`"
        ) from None
    if digests.of(data) != digest:
        raise StoreCorruptError(
            f"blob is corrupt: {digest}: its bytes have another digest",
            path=path,
            hint=f"remove {path} and pull the image again",
        )
    return data


def chunks(path: str, offset: int = 0) -> Generator[bytes, None, None]:
    """Give the bytes of a file from ``offset`` on, as they are: who reads them verifies them. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        while chunk := os.read(fd, CHUNK_BYTES):
            yield chunk
    finally:
        os.close(fd)


def stage(layout: Layout, data: bytes, digest: str, what: str) -> str:
    """Verify bytes and write them below tmp/; return the path, to be given to `publish` after the sync.

    Raises: DigestMismatchError; StorageFullError.
    """
    digests.verify(data, digest, what)
    digests.require_sha256(digest)
    path = f"{layout.tmp}/{owner.token()}"
    fsio.write_new(path, data, mode=BLOB_MODE)
    return path


def publish(layout: Layout, staged: str, digest: str) -> None:
    """Give a staged and verified file its name. If the blob is there meanwhile, the same bytes replace it."""
    path = layout.blob(digest)
    os.chmod(staged, BLOB_MODE)
    os.rename(staged, path)
    fsio.unlink_quietly(layout.dropped(digest))
