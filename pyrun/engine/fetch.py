"""The layers of one image: fetched and unpacked in parallel, kept below tmp/ until all of them are verified.

It must not know tags or policies. Per layer one pass: registry -> blob file and unpacker; a blob that is in the store
is not fetched again, a layer that is unpacked is not unpacked again. One failure cancels the rest.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import closing

from pyrun.errors import DigestMismatchError, PyrunError, SizeMismatchError
from pyrun.layers import patch, unpack
from pyrun.oci import digest as digests
from pyrun.store import blobs, fsio, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Protocol

    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.layout import Layout

    Progress = Callable[[str, str, int], None]

    class Source(Protocol):
        """Where blobs come from: a registry, or another layout."""

        def chunks(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
            """Give the bytes of a blob; the reader verifies them."""


WORKERS = 4  # two keep two cores busy with inflating; four hide the latency of a registry that is far away
CHUNK_BYTES = 1 << 18


class CancelledError(Exception):
    """Another layer failed: this one stops."""


class Staged:
    """One layer below tmp/: ``blob`` and ``tree`` are empty where the store had them already."""

    __slots__ = ("blob", "descriptor", "diff_id", "tree", "unpacked_bytes")

    def __init__(self, descriptor: Descriptor, diff_id: str) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self.blob = ""
        self.tree = ""
        self.unpacked_bytes = 0


class Fetch:
    """Fetches the layers of one image. Call `stage`, sync the file system, `publish`; `discard` after a failure."""

    def __init__(self, layout: Layout, source: Source | None, form: str, spawn: Spawn, progress: Progress) -> None:
        self._layout = layout
        self._source = source
        self._form = form
        self._spawn = spawn
        self._progress = progress
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._staged: list[Staged] = []
        self._diff_ids: list[str] = []
        self._patch = ""

    def stage(self, layers: Iterable[tuple[Descriptor, str]], *, ready: Iterable[Staged] = ()) -> None:
        """Bring all layers below tmp/, verified. ``layers``: lowest first, each with its diff_id.

        ``ready``: those of them that are there already; they are this object's from now on, to publish or discard.
        Raises: the first error of any layer, after all workers have ended.
        """
        layers = [*layers]
        self._diff_ids = [diff_id for _, diff_id in layers]
        unique = {(descriptor.digest, diff_id): Staged(descriptor, diff_id) for descriptor, diff_id in layers}
        self._staged = [*ready]
        for layer in self._staged:
            unique.pop((layer.descriptor.digest, layer.diff_id))
        # The largest first: it decides when the pull ends.
        waiting = sorted(unique.values(), key=lambda layer: layer.descriptor.size)
        self._staged += waiting
        workers = [
            threading.Thread(target=self._work, args=(waiting,), name="pyrun-layer", daemon=True)
            for _ in range(min(WORKERS, len(waiting)))
        ]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        except BaseException:  # Ctrl-C: nobody may write below tmp/ when it is removed
            self._cancelled.set()
            for worker in workers:
                if worker.ident is not None:  # else it could not be started: the limit of processes
                    worker.join()
            raise
        if self._errors:
            raise self._errors[0]
        self._stage_patch()

    def _stage_patch(self) -> None:
        """Give directories that an archive only implied the metadata that they have further down."""
        trees_of = {layer.diff_id: layer.tree for layer in self._staged if layer.tree}
        directories = [trees_of.get(item) or self._layout.layer(item, self._form) for item in self._diff_ids]
        self._patch = f"{self._layout.tmp}/{owner.token()}"  # before it is made: `discard` removes it
        if not patch.stage(
            self._layout, self._diff_ids, self._form, directories, temporary=self._patch, spawn=self._spawn
        ):
            self._patch = ""

    def unpacked(self) -> dict[str, int]:
        """Return the bytes of the files of each layer that was unpacked, by diff_id."""
        return {layer.diff_id: layer.unpacked_bytes for layer in self._staged if layer.tree}

    def publish(self) -> None:
        """Rename everything into place. Another pull may have been first: its tree is the same, ours goes."""
        for layer in self._staged:
            if layer.blob:
                blobs.publish(self._layout, layer.blob, layer.descriptor.digest)
                layer.blob = ""
            if layer.tree:
                self._publish_tree(layer)
        if self._patch:
            patch.publish(self._layout, self._diff_ids, self._form, self._patch)
            self._patch = ""

    def discard(self) -> None:
        """Remove what is still below tmp/."""
        for layer in self._staged:
            for path in (layer.blob, layer.tree):
                if path:
                    trees.remove_tree(path)
        if self._patch:
            trees.remove_tree(self._patch)

    def _publish_tree(self, layer: Staged) -> None:
        target = self._layout.layer(layer.diff_id, self._form)
        fsio.make_directory(target.rpartition("/")[0])
        try:
            os.rename(layer.tree, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            trees.remove_tree(layer.tree)
        layer.tree = ""

    def _work(self, waiting: list[Staged]) -> None:
        while not self._cancelled.is_set():
            with self._lock:
                if not waiting:
                    return
                layer = waiting.pop()
            try:
                self._stage_layer(layer)
            except CancelledError:
                return
            except BaseException as error:
                found = fsio.full_or(error, self._layout.root) if isinstance(error, OSError) else error
                with self._lock:
                    self._errors.append(found)
                self._cancelled.set()
                return

    def _stage_layer(self, layer: Staged) -> None:
        digest, size = layer.descriptor.digest, layer.descriptor.size
        digests.require_sha256(digest)
        digests.require_sha256(layer.diff_id)
        has_blob = blobs.exists(self._layout, digest)
        has_tree = os.path.isdir(self._layout.layer(layer.diff_id, self._form))
        if has_blob and has_tree:
            self._progress("exists", digest, size)
            return
        self._progress("start", digest, size)
        if has_tree:
            self._copy_blob(layer)
        else:
            self._unpack(layer, from_blob=has_blob)
        self._progress("done", digest, size)

    def _chunks(self, layer: Staged, *, from_blob: bool) -> Generator[bytes, None, None]:
        digest = layer.descriptor.digest
        if from_blob or self._source is None:
            source = _file_chunks(self._layout.blob(digest))
        else:
            source = self._source.chunks(layer.descriptor)
        # Closed by hand: the traceback of an error would keep the source, and its connection, alive.
        with closing(source):
            for chunk in source:
                if self._cancelled.is_set():
                    raise CancelledError
                self._progress("bytes", digest, len(chunk))
                yield chunk

    def _copy_blob(self, layer: Staged) -> None:
        """Fetch a blob whose layer is unpacked already (from another compression of the same tar)."""
        state, count = digests.hasher(layer.descriptor.digest), 0
        fd = self._open_blob(layer)
        chunks = self._chunks(layer, from_blob=False)
        try:
            for chunk in chunks:
                state.update(chunk)
                count += len(chunk)
                fsio.write_all(fd, chunk)
        finally:
            chunks.close()
            os.close(fd)
        what, expected = f"layer {layer.descriptor.digest}", layer.descriptor
        if count != expected.size:
            raise SizeMismatchError(what, expected=expected.size, actual=count)
        if f"sha256:{state.hexdigest()}" != expected.digest:
            raise DigestMismatchError(what, expected=expected.digest, actual=f"sha256:{state.hexdigest()}")

    def _unpack(self, layer: Staged, *, from_blob: bool) -> None:
        fd = -1 if from_blob else self._open_blob(layer)
        chunks = self._chunks(layer, from_blob=from_blob)
        try:
            layer.tree = f"{self._layout.tmp}/{owner.token()}"
            os.mkdir(layer.tree, 0o700)
            report = unpack.unpack_stream(
                chunks,
                media_type=layer.descriptor.media_type,
                descriptor=layer.descriptor,
                diff_id=layer.diff_id,
                dest_dir=layer.tree,
                form=self._form,
                spawn=self._spawn,
                blob_fd=fd,
            )
        except PyrunError as error:
            if from_blob and isinstance(error, (DigestMismatchError, SizeMismatchError)):
                error.hint = f"the store's copy is damaged: remove {self._layout.blob(layer.descriptor.digest)}"
            raise
        finally:
            chunks.close()
            if fd >= 0:
                os.close(fd)
        layer.unpacked_bytes = report.file_bytes
        self._progress("unpacked", layer.descriptor.digest, layer.unpacked_bytes)

    def _open_blob(self, layer: Staged) -> int:
        layer.blob = f"{self._layout.tmp}/{owner.token()}"
        return os.open(layer.blob, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _file_chunks(path: str) -> Generator[bytes, None, None]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(fd, CHUNK_BYTES):
            yield chunk
    finally:
        os.close(fd)
