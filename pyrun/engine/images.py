"""The verb images: what the store has, one line per tag, from index.json alone.

It must not know columns or formats: the front end prints. Cold.
"""

from __future__ import annotations

from pyrun.oci import reference as references
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


class ImageSummary:
    """One line of `images`. Empty ``repository`` or ``tag`` is shown as ``<none>``; ``size`` is unpacked bytes."""

    __slots__ = ("created", "digest", "id", "manifest", "platform", "repository", "size", "tag")

    def __init__(
        self, *, repository: str, tag: str, digest: str, id: str, manifest: str, created: str, size: int, platform: str
    ) -> None:
        self.repository = repository
        self.tag = tag
        self.digest = digest
        self.id = id
        self.manifest = manifest
        self.created = created
        self.size = size
        self.platform = platform

    @property
    def is_dangling(self) -> bool:
        """Whether nothing names it any more."""
        return not self.tag and not self.digest


def list_images(layout: Layout) -> list[ImageSummary]:
    """Return all images, newest first (then by name), one per tag; those without a tag once.

    Raises: StoreCorruptError.
    """
    found = [_summary(entry) for entry in index.entries(layout)]
    found.sort(key=lambda image: (image.repository, image.tag))
    found.sort(key=lambda image: image.created, reverse=True)
    return found


def unpacked_size(layout: Layout, manifest: str) -> int:
    """Return the bytes of an image's files, 0 if it is gone."""
    from pyrun.errors import ImageNotFoundError, StoreCorruptError
    from pyrun.images.resolve import load_record

    try:
        return int(load_record(layout, manifest)["unpacked_size"])
    except (ImageNotFoundError, StoreCorruptError):
        return 0


def repo_digests(entry: index.Entry) -> list[str]:
    """Return ``NAME@DIGEST`` of each place that an image was pulled from, in full form."""
    return index.notes_of(entry).get(index.REPO_DIGESTS, "").split()


def _summary(entry: index.Entry) -> ImageSummary:
    notes = index.notes_of(entry)
    repository = tag = ""
    digests = repo_digests(entry)
    if name := index.ref_name(entry):
        reference = references.parse_normalized(name)
        repository, tag = reference.familiar_name, reference.tag
        own = [item.partition("@")[2] for item in digests if item.startswith(reference.name + "@")]
    else:
        own = [item.partition("@")[2] for item in digests]
        if digests:
            repository = references.parse_normalized(digests[0]).familiar_name
    size = notes.get(index.SIZE, "")
    return ImageSummary(
        repository=repository,
        tag=tag,
        digest=own[0] if own else "",
        id=notes.get(index.CONFIG) or entry["digest"],
        manifest=entry["digest"],
        created=notes.get(index.CREATED, ""),
        size=int(size) if size.isdigit() else 0,
        platform=notes.get(index.PLATFORM, ""),
    )
