"""The verb images: what the store has, one line per tag, from index.json alone.

It must not know columns or formats: the front end prints. HOT.
"""

from __future__ import annotations

from pyrun.engine.instant import parse_rfc3339
from pyrun.oci import reference as references
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class ImageSummary:
    """One line of `images`. Empty ``repository`` or ``tag`` is shown as ``<none>``; ``size`` is unpacked bytes.

    ``digests``: of the repository, as its registry knows the image. ``moment``: ``created`` in nanoseconds since 1970.
    """

    __slots__ = ("created", "digests", "id", "manifest", "moment", "platform", "repository", "size", "tag")

    def __init__(self, entry: Entry, repository: str, tag: str, digests: Sequence[str]) -> None:
        notes = index.notes_of(entry)
        size = notes.get(index.SIZE, "")
        self.repository = repository
        self.tag = tag
        self.digests = digests
        self.id: str = notes.get(index.CONFIG) or entry["digest"]
        self.manifest: str = entry["digest"]
        self.created = notes.get(index.CREATED, "")
        self.moment = moment_of(self.created)
        self.size = int(size) if size.isdigit() else 0
        self.platform = notes.get(index.PLATFORM, "")

    @property
    def digest(self) -> str:
        """The first of its digests, or ""."""
        return self.digests[0] if self.digests else ""

    @property
    def is_dangling(self) -> bool:
        """Whether nothing names it any more."""
        return not self.tag and not self.digests


def list_images(layout: Layout) -> list[ImageSummary]:
    """Return all images, newest first (then by name), one per tag; those without a tag once.

    Raises: StoreCorruptError.
    """
    return _sorted([_summary(entry) for entry in index.entries(layout)])


def list_lines(
    layout: Layout, *, wanted: dict[str, list[str]] | None = None, until: Sequence[int] = ()
) -> list[ImageSummary]:
    """Return what `images` lists: as `list_images`, and a line for each further repository that only a digest names.

    ``wanted``: the filters by key, without ``until``: see engine/image_filters.py, which raises what they deserve.
    """
    entries = index.entries(layout)
    lines = [_summary(entry) for entry in entries]
    lines += _named_by_digest_only(entries, lines)
    if wanted or until:
        from pyrun.engine.image_filters import ImageFilters

        filters = ImageFilters(layout, entries, wanted or {}, until)
        lines = [line for line in lines if filters.accept(line)]
    return _sorted(lines)


def exists(layout: Layout, text: str) -> bool:
    """Say whether a name, id or digest is that of an image here. Raises: InvalidReferenceError; InvalidInputError."""
    from pyrun.errors import ImageNotFoundError
    from pyrun.images.resolve import find_entry

    try:
        find_entry(layout, text)
    except ImageNotFoundError:
        return False
    return True


def moment_of(created: str) -> int:
    """Return nanoseconds since 1970, 0 for what is no time: another tool may have written it."""
    try:
        return parse_rfc3339(created)
    except (ValueError, IndexError):
        return 0


def unpacked_size(layout: Layout, manifest: str) -> int:
    """Return the bytes of an image's files, 0 if it is gone."""
    from pyrun.errors import ImageNotFoundError, StoreCorruptError
    from pyrun.images.resolve import load_record

    try:
        return int(load_record(layout, manifest)["unpacked_size"])
    except (ImageNotFoundError, StoreCorruptError):
        return 0


def repo_digests(entry: Entry) -> list[str]:
    """Return ``NAME@DIGEST`` of each place that an image was pulled from, in full form."""
    return index.notes_of(entry).get(index.REPO_DIGESTS, "").split()


def _sorted(found: list[ImageSummary]) -> list[ImageSummary]:
    found.sort(key=lambda image: (image.repository, image.tag))
    found.sort(key=lambda image: image.moment, reverse=True)
    return found


def _summary(entry: Entry) -> ImageSummary:
    digests = repo_digests(entry)
    if name := index.ref_name(entry):
        reference = references.parse_normalized(name)
        start = reference.name + "@"
        own = [item[len(start) :] for item in digests if item.startswith(start)]
        return ImageSummary(entry, reference.familiar_name, reference.tag, own)
    if not digests:
        return ImageSummary(entry, "", "", ())
    start = digests[0].partition("@")[0] + "@"
    own = [item[len(start) :] for item in digests if item.startswith(start)]
    return ImageSummary(entry, references.parse_normalized(digests[0]).familiar_name, "", own)


def _named_by_digest_only(entries: list[Entry], lines: list[ImageSummary]) -> list[ImageSummary]:
    """Return a line for each repository that an image was pulled from and in which it has no tag."""
    known = {(line.manifest, line.repository) for line in lines}
    more: list[ImageSummary] = []
    for entry in entries:
        digests = repo_digests(entry)
        if len(digests) < 2 and index.ref_name(entry).startswith(digests[0].partition("@")[0] + ":" if digests else ""):
            continue  # nearly always
        for item in digests:
            name, _, digest = item.partition("@")
            repository = references.parse_normalized(name).familiar_name
            if (entry["digest"], repository) not in known:
                known.add((entry["digest"], repository))
                own = [digest, *(other[len(name) + 1 :] for other in digests if other.startswith(name + "@"))]
                more.append(ImageSummary(entry, repository, "", list(dict.fromkeys(own))))
    return more
