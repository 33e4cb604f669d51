"""The image that ships with pyrun, as a place to pull from: an OCI layout in a directory.

It must not know the store, nor that there are registries. Source: image-spec image-layout.md.
"""

from __future__ import annotations

from pyrun.errors import ManifestUnknownError
from pyrun.oci import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.oci.signature import Signature

CHUNK_BYTES = 1 << 18


class LayoutSource:
    """An OCI layout in a directory whose index names one image (or one per platform)."""

    __slots__ = ("_directory", "_domain")

    def __init__(self, directory: str, domain: str) -> None:
        self._directory = directory
        self._domain = domain

    def head(self, reference: Reference) -> str:
        """Return the digest of what `resolve` gives. Raises: as that."""
        return self.resolve(reference)[0].digest

    def tags(self) -> Iterable[str]:
        """Return the only one."""
        return ["latest"]

    def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Return the layout's index itself, whatever the tag: a directory holds one image.

        Raises: ManifestUnknownError if there is no such directory, or a digest that it does not have.
        """
        from pyrun.oci import media_types
        from pyrun.oci.descriptor import Descriptor
        from pyrun.oci.index import decode_index

        try:
            with open(f"{self._directory}/index.json", "rb") as file:
                data = file.read()
        except OSError:
            raise self._unknown(reference) from None
        if not reference.digest:
            if reference.tag not in ("", "latest"):
                raise self._unknown(reference)
            return Descriptor(media_types.OCI_INDEX, digests.of(data), len(data)), data
        for entry in decode_index(data).manifests:
            if entry.digest == reference.digest:
                return entry, self.manifest(entry)
        raise self._unknown(reference)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Read a manifest, verified."""
        return self.blob(descriptor)

    def blob(self, descriptor: Descriptor) -> bytes:
        """Read a blob whole, verified. Raises: DigestMismatchError."""
        data = b"".join(self.chunks(descriptor))
        digests.verify(data, descriptor.digest, f"blob of {self._domain}")
        return data

    def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
        """Give a blob's bytes from ``offset`` on."""
        path = f"{self._directory}/blobs/sha256/{digests.require_sha256(descriptor.digest)}"
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise ManifestUnknownError(f"no such blob: {descriptor.digest}", registry=self._domain) from None

    def abort(self) -> None:
        """Nothing waits for long."""

    def signatures(self, digest: str) -> Iterator[Signature]:
        """Give none: it is a part of pyrun, and as much trusted."""
        return iter(())

    def close(self) -> None:
        """Nothing is open between calls."""

    def _unknown(self, reference: Reference) -> ManifestUnknownError:
        return ManifestUnknownError(
            f"no such image: {reference.familiar}: it does not ship with pyrun",
            registry=self._domain,
            status=404,
            hint="`pyrun run --rm pyrun.local/hello` is the one that does",
        )
