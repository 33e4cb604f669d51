"""The layers of one image: fetched and unpacked in parallel, without a name until all of them are verified.

It must not know tags or policies. Per layer one pass: registry -> partial file and unpacker; a blob that is in the
store is not fetched again, nor a part of it that a pull before has left, nor what another pull is fetching; a layer
that is unpacked is not unpacked again. One failure cancels the rest. Nobody who waits for another pull holds anything
that this one could wait for: two pulls cannot block one another.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import closing

from pyrun.errors import DigestMismatchError, IntegrityError, PyrunError, SizeMismatchError, StoreError
from pyrun.layers import patch, unpack
from pyrun.oci import digest as digests
from pyrun.store import blobs, fsio, owner, partials, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import TracebackType
    from typing import Protocol, Self

    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.layout import Layout
    from pyrun.store.partials import Partial

    Progress = Callable[[str, str, int], None]

    class Source(Protocol):
        """Where blobs come from: a registry, or another layout."""

        def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
            """Give the bytes of a blob from ``offset`` on; the reader verifies them."""


WORKERS = 4  # two keep two cores busy with inflating; four hide the latency of a registry that is far away
CHUNK_BYTES = 1 << 18
WAIT_SECONDS = (
    0.02  # between two looks at a blob that another pull is fetching: fcntl(2) cannot be told to stop waiting
)


class CancelledError(Exception):
    """Another layer failed: this one stops."""


class Staged:
    """One layer without a name: ``tree`` and ``blob`` are below tmp/, a blob that is fetched is ``partial``.

    Each is empty where the store has it already.
    """

    __slots__ = ("blob", "descriptor", "diff_id", "is_told", "partial", "tree", "unpacked_bytes")

    def __init__(self, descriptor: Descriptor, diff_id: str) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self.blob = ""
        self.tree = ""
        self.partial: Partial | None = None
        self.unpacked_bytes = 0
        self.is_told = False  # that it waits


class Fetch:
    """Fetches the layers of one image, in a ``with`` block. Call `stage`, sync the file system, `publish`."""

    def __init__(
        self, layout: Layout, source: Source | None, form: str, spawn: Spawn, progress: Progress, *,
        resumes: bool = True,
    ) -> None:  # fmt: skip
        self._layout = layout
        self._resumes = resumes  # whether bytes of a failed try are worth keeping
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

    def stage(
        self,
        layers: Iterable[tuple[Descriptor, str]],
        *,
        ready: Iterable[Staged] = (),
        blobs: Iterable[Descriptor] = (),
    ) -> None:
        """Bring all layers, verified. ``layers``: lowest first, each with its diff_id; of ``blobs`` only the bytes.

        ``ready``: those of them that are there already; they are this object's from now on, to publish or discard.
        Raises: the first error of any layer, after all workers have ended.
        """
        layers = [*layers]
        self._diff_ids = [diff_id for _, diff_id in layers]
        unique = {(descriptor.digest, diff_id): Staged(descriptor, diff_id) for descriptor, diff_id in layers}
        unique.update({(descriptor.digest, ""): Staged(descriptor, "") for descriptor in blobs})
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
            if layer.partial is not None:
                layer.partial.publish()
                layer.partial = None
            if layer.tree:
                self._publish_tree(layer)
        if self._patch:
            patch.publish(self._layout, self._diff_ids, self._form, self._patch)
            self._patch = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove what has no name. Fetched bytes stay for the next try, unless there was no room for them."""
        for layer in self._staged:
            for path in (layer.blob, layer.tree):
                if path:
                    trees.remove_tree(path)
            if layer.partial is not None and (isinstance(error, (StoreError, OSError)) or not self._resumes):
                layer.partial.remove()
            elif layer.partial is not None:
                layer.partial.close()
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
                if not self._stage_layer(layer):
                    with self._lock:
                        waiting.insert(0, layer)  # the others first
                    self._cancelled.wait(WAIT_SECONDS)
            except CancelledError:
                return
            except BaseException as error:
                found = fsio.full_or(error, self._layout.root) if isinstance(error, OSError) else error
                with self._lock:
                    self._errors.append(found)
                self._cancelled.set()
                return

    def _stage_layer(self, layer: Staged) -> bool:
        """Bring one layer; False: try again, as somebody else is fetching it, or what was kept is bad."""
        digest, size = layer.descriptor.digest, layer.descriptor.size
        digests.require_sha256(digest)
        if layer.diff_id:
            digests.require_sha256(layer.diff_id)
        if not blobs.exists(self._layout, digest) and self._source is not None:
            layer.partial = partials.claim(self._layout, digest, size)
            if layer.partial is None:
                if not layer.is_told:
                    self._progress("waiting", digest, size)
                layer.is_told = True
                return False
        has_blob = blobs.exists(self._layout, digest)
        if has_blob and layer.partial is not None:  # whoever fetched it was done just before it was ours
            layer.partial.remove()
            layer.partial = None
        has_tree = not layer.diff_id or os.path.isdir(self._layout.layer(layer.diff_id, self._form))
        if has_blob and has_tree:
            self._progress("exists", digest, size)
            return True
        self._progress("start", digest, size)
        if not self._stage_parts(layer, has_tree=has_tree):
            return False
        self._progress("done", digest, size)
        return True

    def _stage_parts(self, layer: Staged, *, has_tree: bool) -> bool:
        try:
            if has_tree:
                self._verify_blob(layer)
            else:
                self._unpack(layer)
        except IntegrityError:
            if layer.partial is None:
                raise
            is_fresh = not layer.partial.kept
            layer.partial.remove()
            layer.partial = None
            distrust = getattr(self._source, "distrust", None)  # a source of several places
            if is_fresh and not (distrust and distrust(layer.descriptor)):
                raise
            # Once more, all of it: another place may have the right bytes, or what an earlier pull has left is what is
            # wrong, as a power failure leaves zeros.
            if layer.tree:
                trees.remove_tree(layer.tree)
                layer.tree = ""
            return False
        if layer.partial is not None:
            layer.partial.share()
        return True

    def _chunks(self, layer: Staged) -> Generator[bytes, None, None]:
        descriptor, remote = layer.descriptor, self._source
        if layer.partial is None or remote is None:
            source = _file_chunks(self._layout.blob(descriptor.digest))
        else:
            source = layer.partial.chunks(lambda offset: remote.chunks(descriptor, offset))
        # Closed by hand: the traceback of an error would keep the source, and its connection, alive.
        with closing(source):
            for chunk in source:
                if self._cancelled.is_set():
                    raise CancelledError
                self._progress("bytes", descriptor.digest, len(chunk))
                yield chunk

    def _verify_blob(self, layer: Staged) -> None:
        """Fetch a blob whose layer is unpacked already (from another compression of the same tar)."""
        state, count = digests.hasher(layer.descriptor.digest), 0
        with closing(self._chunks(layer)) as chunks:
            for chunk in chunks:
                state.update(chunk)
                count += len(chunk)
        what, expected = f"layer {layer.descriptor.digest}", layer.descriptor
        if count != expected.size:
            raise SizeMismatchError(what, expected=expected.size, actual=count)
        if f"sha256:{state.hexdigest()}" != expected.digest:
            raise DigestMismatchError(what, expected=expected.digest, actual=f"sha256:{state.hexdigest()}")

    def _unpack(self, layer: Staged) -> None:
        chunks = self._chunks(layer)
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
            )
        except PyrunError as error:
            if layer.partial is None and isinstance(error, (DigestMismatchError, SizeMismatchError)):
                error.hint = f"the store's copy is damaged: remove {self._layout.blob(layer.descriptor.digest)}"
            raise
        finally:
            chunks.close()
        layer.unpacked_bytes = report.file_bytes
        self._progress("unpacked", layer.descriptor.digest, layer.unpacked_bytes)


def _file_chunks(path: str) -> Generator[bytes, None, None]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(fd, CHUNK_BYTES):
            yield chunk
    finally:
        os.close(fd)
