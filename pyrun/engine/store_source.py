"""The store as a place to pull from: an index whose platforms are all here gives another of them without a registry.

It must not fetch. As `sources.ImageSource`.
"""

from __future__ import annotations

from pyrun.oci.descriptor import Descriptor
from pyrun.oci.index import decode_index
from pyrun.store import blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pyrun.oci.reference import Reference
    from pyrun.oci.signature import Signature
    from pyrun.store.layout import Layout


class StoreSource:
    """An index of the store, by its digest."""

    __slots__ = ("_index", "_layout")

    def __init__(self, layout: Layout, index: str) -> None:
        self._layout = layout
        self._index = index

    def head(self, reference: Reference) -> str:
        """Return the index's digest."""
        return self._index

    def tags(self) -> list[str]:
        """Return none: an index has no tag of its own."""
        return []

    def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Return the index, whatever names it. Raises: StoreCorruptError."""
        from pyrun.oci import media_types

        data = blobs.read(self._layout, self._index)
        media_type = decode_index(data).media_type or media_types.OCI_INDEX
        return Descriptor(media_type, self._index, len(data)), data

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Read a manifest. Raises: StoreCorruptError."""
        return blobs.read(self._layout, descriptor.digest)

    def blob(self, descriptor: Descriptor) -> bytes:
        """Read a small blob. Raises: StoreCorruptError."""
        return blobs.read(self._layout, descriptor.digest)

    def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
        """Fail: a blob that is missing here cannot be had here. Raises: StoreCorruptError."""
        blobs.read(self._layout, descriptor.digest)
        yield b""

    def abort(self) -> None:
        """Nothing waits for long."""

    def signatures(self, digest: str) -> Iterator[Signature]:
        """Give those by which the platform's manifest has come in before."""
        from pyrun.engine import judgement

        return iter(judgement.kept_signatures(self._layout, digest))

    def close(self) -> None:
        """Nothing is open."""
