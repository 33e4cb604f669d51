"""How an image appears in the store, wherever it came from: one sync, then renames.

It must not know registries or builds. Nothing is visible before everything is on disk.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress

from pyrun.errors import PyrunError, StoreError
from pyrun.images import record as records
from pyrun.store import blobs, fsio, gc, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from pyrun.engine.fetch import Fetch
    from pyrun.store.layout import Layout


@contextmanager
def undone_on_failure(
    layout: Layout, failures: tuple[type[BaseException], ...] = (StoreError, OSError)
) -> Iterator[None]:
    """Collect what was published within and got no tag, as the disk was full or failed: nobody could see or use it.

    Around the lease, which keeps it. What cannot be collected now is at the next `rmi` or `system prune`.
    """
    try:
        yield
    except failures:
        with suppress(PyrunError, OSError):
            gc.collect(layout)
        raise


def publish(layout: Layout, fetch: Fetch, documents: Mapping[str, bytes], record: dict[str, Any]) -> None:
    """Give the layers that ``fetch`` has staged, the documents (by digest) and the record their names.

    Layers first, the record last, so that whoever sees it finds all it names. The caller holds a lease on them.
    Raises: StorageFullError; then what was staged here is gone, and what ``fetch`` has is the caller's.
    """
    staged: list[tuple[str, str]] = []
    record_path = ""
    try:
        for digest, data in documents.items():
            if not _holds(layout, digest, data):
                staged.append((blobs.stage(layout, data, digest, "document"), digest))
        record_path = records.stage(layout, record)
        fsio.sync_file_system(layout.root)
        fetch.publish()
        for path, digest in staged:
            blobs.publish(layout, path, digest)
        records.publish(layout, record_path, record)
    except BaseException:
        for path in [record_path, *(path for path, _ in staged)]:
            if path:
                trees.remove_tree(path)
        raise


def _holds(layout: Layout, digest: str, data: bytes) -> bool:
    """Whether the store has these very bytes: a pull mends a document that is damaged there."""
    try:
        return fsio.read_bytes(layout.blob(digest)) == data
    except FileNotFoundError:
        return False
