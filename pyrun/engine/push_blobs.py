"""The blobs of one push on their way: several at once, from the store to a registry.

It must not know manifests. What the registry has is not read here; what another of its repositories has is mounted. One
failure cancels the rest. A layer that is to be compressed anew is so in tmp/, and gone from there once it is sent.
"""

from __future__ import annotations

import os
import threading

from pyrun.engine.push_content import Blob, check_size
from pyrun.engine.workers import Workers
from pyrun.errors import DigestMismatchError, PyrunError, SizeMismatchError, StoreCorruptError, StoreError
from pyrun.oci import media_types
from pyrun.registry.upload import Placed
from pyrun.store import dropped, fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from pyrun.engine.mount_sources import MountSources
    from pyrun.engine.refetch import Refetch
    from pyrun.oci.descriptor import Descriptor
    from pyrun.registry.client import RegistryClient
    from pyrun.store.layout import Layout

    class Hear(Protocol):
        """Hears of progress, from several threads."""

        def __call__(self, event: str, label: str, number: int = 0, source: str = "") -> None: ...


CHUNK_BYTES = 1 << 18
END_SECONDS = 2.0  # what Ctrl-C leaves a request that waits for its answer

_MEDIA_TYPES = {"gzip": media_types.OCI_LAYER_GZIP, "zstd": media_types.OCI_LAYER_ZSTD}
# What is said of the bytes of one compression, and is not true of another's.
_OF_COMPRESSION = ("io.github.containers.zstd-chunked.", "containerd.io/snapshot/stargz")


class Compression:
    """How layers are to be compressed. ``is_forced``: those, too, that are of that format already."""

    __slots__ = ("is_forced", "kind", "level")

    def __init__(self, kind: str, level: int | None, *, is_forced: bool) -> None:
        from pyrun.layers import recompress

        recompress.check(kind, level)
        self.kind = kind
        self.level = level
        self.is_forced = is_forced

    def is_wanted(self, blob: Blob) -> bool:
        """Say whether a blob is to be compressed anew."""
        is_same = blob.descriptor.media_type == _MEDIA_TYPES[self.kind]
        return blob.is_layer and not blob.is_foreign and (self.is_forced or not is_same)


class BlobPush:
    """Brings blobs into one repository; ``pull``: a name to fetch the image again by."""

    def __init__(
        self,
        layout: Layout,
        client: RegistryClient,
        repository: str,
        sources: MountSources,
        hear: Hear,
        *,
        compression: Compression | None = None,
        pull: str = "",
    ) -> None:
        self._layout = layout
        self._client = client
        self._repository = repository
        self._sources = sources
        self._hear = hear
        self._compression = compression
        self._pull = pull
        self._workers = Workers(self._abort, patience=END_SECONDS)
        self._refetch: Refetch | None = None
        self._lock = threading.Lock()

    def _abort(self) -> None:
        self._client.abort()
        if self._refetch is not None:
            self._refetch.abort()

    def push(self, blobs: list[Blob]) -> None:
        """See to it that the repository has all of them. Raises: the first error of any, when all have ended."""
        unique: dict[str, list[Blob]] = {}
        for blob in blobs:
            unique.setdefault(blob.descriptor.digest, []).append(blob)
            if blob.is_layer:
                self._hear("preparing", blob.label)
        # The largest first: it decides when the push ends. Taken from the end.
        waiting = sorted(unique.values(), key=lambda same: same[0].descriptor.size)
        self._workers.run(waiting, self._push)

    def _push(self, same: list[Blob]) -> bool:
        blob = same[0]
        if blob.is_foreign:
            self._tell(blob, "foreign")
        elif self._compression is None or not self._compression.is_wanted(blob):
            self._put(blob, self._layout.blob(blob.descriptor.digest), self._sources.of(blob.descriptor.digest))
        else:
            self._put_packed(blob, same)
        return True

    def _require(self, blob: Blob) -> None:
        """See to it that the store has a blob, fetched again if it was dropped knowingly."""
        if dropped.repositories(self._layout, blob.descriptor.digest):
            with self._lock:
                if self._refetch is None:
                    from pyrun.engine.refetch import Refetch

                    self._refetch = Refetch(self._layout)
            self._refetch.bring([blob.descriptor])
        check_size(self._layout, blob.descriptor, self._pull)

    def _put_packed(self, blob: Blob, same: list[Blob]) -> None:
        path = f"{self._layout.tmp}/{owner.token()}"
        try:
            descriptor = self._packed(blob, path)
            for other in same:
                other.descriptor = descriptor
            self._put(blob, path, ())
        finally:
            fsio.unlink_quietly(path)

    def _packed(self, blob: Blob, path: str) -> Descriptor:
        from pyrun.layers import recompress
        from pyrun.oci.descriptor import Descriptor

        assert self._compression is not None
        self._require(blob)
        self._hear("packing", blob.label)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                written = recompress.recompress(
                    self._layout.blob(blob.descriptor.digest), fd, self._compression.kind, self._compression.level,
                    blob.diff_id, self._workers.check,
                )  # fmt: skip
            finally:
                os.close(fd)
        except DigestMismatchError as error:
            raise self._corrupt(blob, error) from error
        except OSError as error:
            raise fsio.full_or(error, path) from error
        notes = {
            key: text
            for key, text in (blob.descriptor.annotations or {}).items()
            if not key.startswith(_OF_COMPRESSION)
        }
        kind = _MEDIA_TYPES[self._compression.kind]
        return Descriptor(kind, written.digest, written.blob_bytes, annotations=notes or None)

    def _put(self, blob: Blob, path: str, sources: Iterator[str] | tuple[()]) -> None:
        def open_at(offset: int) -> Iterator[memoryview]:
            if offset == 0 and blob.descriptor.digest in path.replace("/", ":"):
                self._require(blob)
            return self._chunks(path, offset)

        def tell(position: int) -> None:
            self._tell(blob, "bytes", position)

        self._tell(blob, "start", blob.descriptor.size)
        try:
            placed, source = self._client.put_blob(
                self._repository, blob.descriptor, open_at, mount_from=sources, hear=tell
            )
        except (DigestMismatchError, SizeMismatchError) as error:
            raise self._corrupt(blob, error) from error
        self._tell(
            blob, {Placed.EXISTED: "exists", Placed.MOUNTED: "mounted", Placed.PUSHED: "pushed"}[placed], 0, source
        )

    def _chunks(self, path: str, offset: int) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                while count := file.readinto(buffer):
                    yield buffer[:count]
                    self._workers.check()
        except OSError as error:
            message = f"cannot read blob: {path}: {os.strerror(error.errno or 0).lower()}"
            raise StoreError(message, path=path) from error

    def _corrupt(self, blob: Blob, error: PyrunError) -> StoreCorruptError:
        path = self._layout.blob(blob.descriptor.digest)
        again = f"`pyrun pull {self._pull}`" if self._pull else "pull the image again"
        return StoreCorruptError(
            f"blob is corrupt: {error}", path=path, hint=f"nothing was pushed of it. Remove {path}, then {again}"
        )

    def _tell(self, blob: Blob, event: str, number: int = 0, source: str = "") -> None:
        if blob.is_layer:
            self._hear(event, blob.label, number, source)
