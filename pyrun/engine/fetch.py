"""The layers of one image: fetched and unpacked in parallel, without a name until all of them are verified.

It must not know tags or policies. Per layer one pass: registry -> partial file and unpacker; a blob that is in the
store is not fetched again, nor a part of it that a pull before has left, nor what another pull is fetching; a layer
that is unpacked is not unpacked again. One failure cancels the rest. Nobody who waits for another pull holds anything
that this one could wait for: two pulls cannot block one another.
"""

from __future__ import annotations

import errno
import os

from pyrun.engine.fetch_layer import LayerStage, Staged
from pyrun.engine.workers import Workers
from pyrun.errors import StoreError
from pyrun.layers import patch
from pyrun.store import blobs, fsio, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from pyrun.engine.fetch_layer import Source
    from pyrun.engine.layer_sizes import LayerSizes
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.layout import Layout

    Progress = Callable[[str, str, int], None]

__all__ = ["Fetch", "Staged"]


class Fetch:
    """Fetches the layers of one image, in a ``with`` block. Call `stage`, sync the file system, `publish`."""

    def __init__(
        self, layout: Layout, source: Source | None, form: str, spawn: Spawn, progress: Progress, *,
        resumes: bool = True, sizes: LayerSizes | None = None,
    ) -> None:  # fmt: skip
        """``sizes``: a layer whose size these do not have is unpacked, also where it is there already.

        ``resumes``: bytes of a failed try are worth keeping, as they come from far; of an archive none is.
        """
        self._layout = layout
        self._resumes = resumes
        self._form = form
        self._spawn = spawn
        self._workers = Workers(_nothing if source is None else source.abort)
        self._layers = LayerStage(layout, source, form, spawn, progress, self._workers.check, sizes, is_far=resumes)
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
        self._workers.run(waiting, self._stage)
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

    def _stage(self, layer: Staged) -> bool:
        try:
            return self._layers.stage(layer)
        except OSError as error:
            found = fsio.full_or(error, self._layout.root)
            raise found from (None if found is error else error)


def _nothing() -> None:
    """End nothing: what is in the store is waited for by nobody."""
