"""One layer from a stream of tar to a compressed blob, in one pass, hashed before and after: the inverse of unpack.py.

It must not know where the tar comes from, nor where the blob goes: the caller gives it its name or removes it.
"""

from __future__ import annotations

import hashlib
import os

from pyrun.layers.pipeline import CHUNK, write_all

# igzip's strongest: smaller than zlib's fastest, at five times its speed. The bytes depend on nothing but the input.
_LEVEL = 3
_GZIP_WINDOW = 31  # zlib.h deflateInit2: 15 bits, and 16 for a gzip header, whose time and name are left empty


class Written:
    """What was written; ``tar_bytes`` 0: there was nothing, and so there is no layer."""

    __slots__ = ("blob_bytes", "diff_id", "digest", "tar_bytes")

    def __init__(self, diff_id: str, digest: str, *, tar_bytes: int, blob_bytes: int) -> None:
        self.diff_id = diff_id
        self.digest = digest
        self.tar_bytes = tar_bytes
        self.blob_bytes = blob_bytes


def write_layer(tar_fd: int, blob_fd: int) -> Written:
    """Compress everything that comes from ``tar_fd`` into ``blob_fd``, synced at the end. Raises: OSError."""
    from isal import isal_zlib

    compressor = isal_zlib.compressobj(level=_LEVEL, wbits=_GZIP_WINDOW)
    tar, blob, tar_bytes, blob_bytes = hashlib.sha256(), hashlib.sha256(), 0, 0
    ended = False
    while not ended:
        chunk = os.read(tar_fd, CHUNK)
        ended = not chunk
        tar.update(chunk)
        tar_bytes += len(chunk)
        packed = compressor.flush() if ended else compressor.compress(chunk)
        blob.update(packed)
        blob_bytes += len(packed)
        write_all(blob_fd, packed)
    os.fsync(blob_fd)
    return Written(
        f"sha256:{tar.hexdigest()}", f"sha256:{blob.hexdigest()}", tar_bytes=tar_bytes, blob_bytes=blob_bytes
    )
