"""Where images come from: a registry, or an OCI layout in a directory (the image that ships with pyrun).

It must not know the store. Both give verified documents and unverified streams of blobs.
"""

from __future__ import annotations

import os

from pyrun.errors import ManifestUnknownError
from pyrun.oci import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Protocol, Self

    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.registry.client import RegistryClient

    class ImageSource(Protocol):
        """What `pull` needs of a place."""

        def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]: ...
        def manifest(self, descriptor: Descriptor) -> bytes: ...
        def blob(self, descriptor: Descriptor) -> bytes: ...
        def chunks(self, descriptor: Descriptor) -> Generator[bytes, None, None]: ...
        def close(self) -> None: ...


EMBEDDED_DOMAIN = "pyrun.local"
CHUNK_BYTES = 1 << 18


def source_of(reference: Reference) -> ImageSource:
    """Return the place that a reference names: its registry, or what ships with pyrun."""
    if reference.domain == EMBEDDED_DOMAIN:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return LayoutSource(f"{here}/data/{reference.path}", EMBEDDED_DOMAIN)
    from pyrun.registry.client import RegistryClient

    return RegistrySource(RegistryClient(reference.domain), reference.path)


class RegistrySource:
    """One repository of a registry."""

    __slots__ = ("_client", "_repository")

    def __init__(self, client: RegistryClient, repository: str) -> None:
        self._client = client
        self._repository = repository

    def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Fetch what the reference names. Raises: RegistryError and its kinds; DigestMismatchError."""
        return self._client.resolve(reference)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Fetch a manifest by digest, verified."""
        return self._client.manifest(self._repository, descriptor.digest, descriptor.size)[1]

    def blob(self, descriptor: Descriptor) -> bytes:
        """Fetch a small blob whole, verified."""
        return self._client.blob_bytes(self._repository, descriptor)

    def chunks(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """Give a blob's bytes as they come; the reader verifies them."""
        with self._client.blob(self._repository, descriptor) as blob:
            while chunk := blob.read(CHUNK_BYTES):
                yield chunk

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LayoutSource:
    """An OCI layout in a directory whose index names one image (or one per platform)."""

    __slots__ = ("_directory", "_domain")

    def __init__(self, directory: str, domain: str) -> None:
        self._directory = directory
        self._domain = domain

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

    def chunks(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """Give a blob's bytes."""
        path = f"{self._directory}/blobs/sha256/{digests.require_sha256(descriptor.digest)}"
        try:
            with open(path, "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise ManifestUnknownError(f"no such blob: {descriptor.digest}", registry=self._domain) from None

    def close(self) -> None:
        """Nothing is open between calls."""

    def _unknown(self, reference: Reference) -> ManifestUnknownError:
        return ManifestUnknownError(
            f"no such image: {reference.familiar}: it does not ship with pyrun",
            registry=self._domain,
            status=404,
            hint="`pyrun run --rm pyrun.local/hello` is the one that does",
        )
