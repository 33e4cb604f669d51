"""One layer of an image: its bytes from a place, or what is kept of them, through hash and unpacker to a tree.

It must not know the other layers (`fetch.py`). What it makes has no name yet.
"""

from __future__ import annotations

import os
from contextlib import closing

from pyrun.errors import DigestMismatchError, IntegrityError, PyrunError, SizeMismatchError, StoreCorruptError
from pyrun.layers import unpack
from pyrun.oci import digest as digests
from pyrun.store import blobs, dropped, owner, partials, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol

    from pyrun.engine.fetch import Progress
    from pyrun.engine.layer_sizes import LayerSizes
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.layout import Layout
    from pyrun.store.partials import Partial

    class Source(Protocol):
        """Where blobs come from: a registry, or another layout."""

        def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
            """Give the bytes of a blob from ``offset`` on; the reader verifies them."""

        def abort(self) -> None:
            """End what other threads wait for."""


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


class LayerStage:
    """What all layers of one image are brought with; ``check`` raises where no more of it is wanted."""

    def __init__(
        self,
        layout: Layout,
        source: Source | None,
        form: str,
        spawn: Spawn,
        progress: Progress,
        check: Callable[[], None],
        sizes: LayerSizes | None,
        *,
        is_far: bool = True,
    ) -> None:
        self._layout = layout
        self._source = source
        self._form = form
        self._spawn = spawn
        self._progress = progress
        self._check = check
        self._sizes = sizes
        self._is_far = is_far

    def stage(self, layer: Staged) -> bool:
        """Bring one layer; False: try again, as somebody else is fetching it, or what was kept is bad."""
        digest, size = layer.descriptor.digest, layer.descriptor.size
        digests.require_sha256(digest)
        if layer.diff_id:
            digests.require_sha256(layer.diff_id)
        if self._is_far and self._is_dropped(layer):
            self._progress("exists", digest, size)
            return True
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
        if not has_blob and self._source is None:
            raise StoreCorruptError(
                f"blob is missing: {digest}",
                path=self._layout.blob(digest),
                hint="pull the image again: `pyrun pull IMAGE`",
            )
        has_tree = not layer.diff_id or self._has_tree(layer.diff_id)
        if has_blob and has_tree:
            self._progress("exists", digest, size)
            return True
        self._progress("start", digest, size)
        if not self._stage_parts(layer, has_tree=has_tree):
            return False
        self._progress("done", digest, size)
        return True

    def _is_dropped(self, layer: Staged) -> bool:
        """Whether `system prune --blobs` took it and it is unpacked: another image that has it needs no more."""
        if not layer.diff_id or not dropped.repositories(self._layout, layer.descriptor.digest):
            return False
        return self._has_tree(layer.diff_id)

    def _has_tree(self, diff_id: str) -> bool:
        is_there = os.path.isdir(self._layout.layer(diff_id, self._form))
        return is_there and (self._sizes is None or self._sizes.has(diff_id))

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
            source = blobs.chunks(self._layout.blob(descriptor.digest))
        else:
            source = layer.partial.chunks(lambda offset: remote.chunks(descriptor, offset))
        # Closed by hand: the traceback of an error would keep the source, and its connection, alive.
        with closing(source):
            for chunk in source:
                self._check()
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
