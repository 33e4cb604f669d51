"""One image of an archive, whatever the archive's shape: its documents, verified, and where its layers are.

It must not know shapes (archive_images.py, archive_docker.py) nor the store.
"""

from __future__ import annotations

from pyrun.errors import InvalidReferenceError
from pyrun.oci import convert
from pyrun.oci import reference as references
from pyrun.oci.config import ImageConfig, decode_config, layers_of
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest, decode_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from pyrun.images.archive import Archive, Member

MAX_IMAGES = 1000


class ArchivedImage:
    """One image: its OCI manifest, what must be kept of its documents, where its layers are.

    ``is_described``: the archive has a manifest, and so a digest; else it was made of the configuration.
    """

    __slots__ = (
        "archive", "config", "descriptor", "documents", "extra", "is_described", "layers", "manifest", "members",
        "names",
    )  # fmt: skip

    def __init__(self, archive: Archive, *, is_described: bool) -> None:
        self.archive = archive
        self.is_described = is_described
        self.names: list[str] = []
        self.documents: dict[str, bytes] = {}
        self.extra: dict[str, str] = {}
        self.members: dict[str, Member] = {}  # of the layers, by digest
        self.descriptor: Descriptor
        self.manifest: Manifest
        self.config: ImageConfig
        self.layers: list[tuple[Descriptor, str]]

    @property
    def image_id(self) -> str:
        """The configuration's digest."""
        return self.manifest.config.digest

    def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
        """Give the bytes of a layer, unverified: this is a source for `engine.fetch`."""
        return self.archive.chunks(self.members[descriptor.digest], offset)

    def abort(self) -> None:
        """Nothing waits for long here."""

    def finish(self, descriptor: Descriptor, manifest: Manifest, config_data: bytes) -> None:
        """Take a manifest of the OCI's kind with its configuration. Raises: InvalidConfigError."""
        self.descriptor, self.manifest = descriptor, manifest
        self.documents[manifest.config.digest] = config_data
        self.config = decode_config(config_data)
        self.layers = layers_of(manifest, self.config)


def as_oci(image: ArchivedImage, document: Manifest) -> tuple[Manifest, Descriptor]:
    """Make an OCI manifest of another one, to be kept with the image."""
    descriptor, data = convert.to_oci(document)
    image.documents[descriptor.digest] = data
    converted = decode_manifest(data, descriptor.media_type)
    assert isinstance(converted, Manifest)
    return converted, descriptor


def whole_name(text: str) -> str:
    """Return a name as the store has it, with domain and tag. Raises: InvalidReferenceError."""
    reference = references.parse_normalized(text)
    if reference.digest:
        raise InvalidReferenceError(text, "an archive may name an image by a tag only")
    return reference.with_default_tag().string
