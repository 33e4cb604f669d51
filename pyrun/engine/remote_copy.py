"""The verb registry copy: an image from one registry to others, byte for byte, through this process and no disk.

It must not print. What a destination has is not sent, what another of its repositories has is mounted; manifests come
last, an index after the manifests that it names, so that whatever has a name there is whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyrun.engine import index_parts
from pyrun.engine.push_blobs import END_SECONDS
from pyrun.engine.remote import Repository
from pyrun.engine.remote_inspect import choose
from pyrun.engine.workers import Workers
from pyrun.errors import InvalidInputError
from pyrun.oci import digest as digests
from pyrun.oci import media_types
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.engine.remote import Access
    from pyrun.oci.descriptor import Descriptor
    from pyrun.registry.upload import Placed

    Hear = Callable[[str, str], object]


def copy(
    source: str,
    destinations: list[str],
    *,
    source_access: Access,
    access: Access,
    platform: str = "",
    all_platforms: bool = False,
    hear: Hear | None = None,
) -> str:
    """Copy an image, or all platforms of it, to each destination; return the digest that they have now.

    ``hear(what, label)`` is told of each blob (12 digits) how it came there: ``existed``, ``mounted`` or ``pushed``.
    Raises: RegistryError and its kinds; DigestMismatchError; NoMatchingPlatformError; InvalidInputError.
    """
    if platform and all_platforms:
        raise InvalidInputError("conflicting options: --all and --platform")
    with Repository(source, source_access) as here:
        top, data = here.resolve()
        document = decode_manifest(data, top.media_type)
        if isinstance(document, Index) and not all_platforms:
            wanted = Platform.parse(platform) if platform else host(with_variant=True)
            top = choose(document, wanted, here.reference.familiar)
            data = here.manifest(top)
        for destination in destinations:
            with Repository(destination, access, is_changed=True) as there:
                _refuse_other_digest(there, destination, top.digest)
                name = there.reference.digest or there.reference.tag
                Copy(here, there, hear or deaf).place(top, data, name)
        return top.digest


def _refuse_other_digest(there: Repository, destination: str, digest: str) -> None:
    wanted = there.reference.digest
    if wanted and wanted != digest:
        raise InvalidInputError(
            f"cannot copy to {destination}: the image has the digest {digest}",
            hint="name a tag; an index keeps its digest with --all",
        )


class Copy:
    """Between two repositories: what was copied once is not asked for again."""

    def __init__(self, here: Repository, there: Repository, hear: Hear) -> None:
        self._here = here
        self._there = there
        self._hear = hear
        self._mount_from = [here.path] if here.client.domain == there.client.domain and here.path != there.path else []
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._workers = Workers(self._abort, patience=END_SECONDS)

    def place(self, descriptor: Descriptor, data: bytes, name: str) -> None:
        """Copy what a manifest or an index names, then put it there under a tag or its digest."""
        document = decode_manifest(data, descriptor.media_type)
        if isinstance(document, Index):
            found = index_parts.parts(document, self._here.manifest)
            assert found is not None, "a registry gives a manifest, or fails"
            for entry in found.entries:
                self._manifest(entry, found.manifests[entry.digest], entry.digest)
        self._manifest(descriptor, data, name)

    def _manifest(self, descriptor: Descriptor, data: bytes, name: str) -> None:
        document = decode_manifest(data, descriptor.media_type)
        if isinstance(document, Manifest):
            self._blobs(document)
        self._there.client.put_manifest(self._there.path, name, descriptor.media_type, data)

    def _blobs(self, manifest: Manifest) -> None:
        blobs = [
            item
            for item in (manifest.config, *manifest.layers)
            if item.media_type not in media_types.FOREIGN_LAYERS and item.digest not in self._seen
        ]
        self._seen.update(item.digest for item in blobs)
        self._workers.run([*{item.digest: item for item in blobs}.values()], self._blob)

    def _blob(self, descriptor: Descriptor) -> bool:
        def chunks(offset: int) -> Iterator[bytes]:
            with self._here.client.blob(self._here.path, descriptor, offset) as blob:
                for chunk in blob:
                    yield chunk
                    self._workers.check()

        placed: Placed
        placed, _ = self._there.client.put_blob(self._there.path, descriptor, chunks, mount_from=self._mount_from)
        with self._lock:
            self._hear(placed.value, digests.short(descriptor.digest))
        return True

    def _abort(self) -> None:
        self._here.client.abort()
        self._there.client.abort()


def deaf(what: str, label: str) -> None:
    """Hear no progress."""
