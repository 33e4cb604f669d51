"""The verb save: images of the store as an archive or a directory that other tools load.

It must not print. ``docker-archive`` is what today's docker writes: an OCI layout whose blobs are the store's, with
manifest.json beside for those that read no layout (docker before 25, podman's docker-archive:, skopeo). Nothing is
packed anew, so digests stay; a schema 2 original is carried beside its OCI form. The OCI formats hold a whole index,
where all platforms were pulled and none is asked for.
"""

from __future__ import annotations

from contextlib import contextmanager

from pyrun.engine import events, other_platform, output_file, save_layout
from pyrun.errors import ImageNotFoundError, InvalidInputError, InvalidReferenceError, NoMatchingPlatformError
from pyrun.images import archive_writer, resolve
from pyrun.oci import reference as references
from pyrun.oci.platform import Platform
from pyrun.store import dropped, index, leases, manifest_lists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pyrun.engine.push_content import Content
    from pyrun.images.archive_writer import Writer
    from pyrun.oci.reference import Reference
    from pyrun.store.layout import Layout

DOCKER_ARCHIVE, OCI_ARCHIVE, OCI_DIRECTORY, DOCKER_DIRECTORY = "docker-archive", "oci-archive", "oci-dir", "docker-dir"
FORMATS = (DOCKER_ARCHIVE, OCI_ARCHIVE, OCI_DIRECTORY, DOCKER_DIRECTORY)
DIRECTORIES = (OCI_DIRECTORY, DOCKER_DIRECTORY)


class Options:
    """``format``: one of FORMATS; ``output``: a path, or "" for ``output_fd``; ``compress``: for docker-dir."""

    __slots__ = ("compress", "format", "output", "output_fd", "platform")

    def __init__(
        self, *, format: str = DOCKER_ARCHIVE, output: str = "", output_fd: int = 1, platform: str | None = None,
        compress: bool = False,
    ) -> None:  # fmt: skip
        self.format = format
        self.output = output
        self.output_fd = output_fd
        self.platform = platform
        self.compress = compress


class Chosen:
    """An image to be saved, under none, one or several tags. ``documents``: those that are no blobs of the store.

    ``whole``: the index that stands in its place, and what that names; a manifest list is nothing else, and has no
    record.
    """

    __slots__ = ("documents", "entry", "record", "tags", "whole")

    def __init__(self, entry: index.Entry, record: dict[str, Any], documents: dict[str, bytes]) -> None:
        self.entry = entry
        self.record = record
        self.documents = documents
        self.tags: list[Reference] = []
        self.whole: Content | None = None

    @property
    def original(self) -> str:
        """The digest of the schema 2 manifest that it was made from, or ""."""
        return index.notes_of(self.entry).get(index.ORIGINAL, "")

    @property
    def shown(self) -> str:
        """What it is called."""
        return self.tags[0].familiar if self.tags else str(self.record["image_id"])

    def digests(self) -> set[str]:
        """Return all that it consists of."""
        found = {self.original} if self.original else set()
        if self.record:
            layers = [layer["digest"] for layer in self.record["layers"]]
            found.update((self.record["manifest"], self.record["image_id"], *layers))
        if self.whole is not None:
            found.update(document.digest for document in self.whole.documents)
            found.update(blob.descriptor.digest for blob in self.whole.blobs if not blob.is_foreign)
        return found


def save(layout: Layout, names: Sequence[str], options: Options) -> None:
    """Write images, each once, under the tags by which they were asked for.

    Raises: ImageNotFoundError; NoMatchingPlatformError; StoreCorruptError for a blob that is missing or damaged;
    StorageFullError, StoreError where the output cannot be written: then nothing is left of it.
    """
    if options.format not in FORMATS:
        raise InvalidInputError(f"unknown format: {options.format!r}", hint=f"it is one of {', '.join(FORMATS)}")
    if options.compress and options.format != DOCKER_DIRECTORY:
        raise InvalidInputError("--compress is for --format docker-dir", hint="layers are saved as they were pulled")
    with leases.acquire(layout, []) as lease:
        images = choose(layout, names, options.platform, lease)
        if options.format in (OCI_ARCHIVE, OCI_DIRECTORY) and not options.platform:
            _make_whole(layout, images, lease)
        elif options.format in (DOCKER_ARCHIVE, DOCKER_DIRECTORY):
            _refuse_lists(images, options.format)
        _bring_dropped(layout, images)
        with _writer(options) as writer:
            if options.format == DOCKER_DIRECTORY:
                from pyrun.engine import save_directory

                assert isinstance(writer, archive_writer.DirectoryWriter)
                save_directory.write(layout, images, writer, compress=options.compress)
            else:
                save_layout.write(layout, images, writer, is_docker=options.format == DOCKER_ARCHIVE)
    for image in images:
        events.image(layout, "save", image.record.get("image_id") or image.entry["digest"], image.shown)


def choose(layout: Layout, names: Sequence[str], platform: str | None, lease: leases.Lease) -> list[Chosen]:
    """Find the images, in the order in which they are named; a repository without a tag means all of its tags."""
    wanted = Platform.parse(platform) if platform else None
    found = index.entries(layout)
    chosen: dict[str, Chosen] = {}
    for text in names:
        try:
            meant = _named(found, text)
        except ImageNotFoundError:
            made = _list(layout, text, platform, lease)
            if made is None:
                raise
            chosen.setdefault(made.entry["digest"], made)
            continue
        for entry, by_name in meant:
            lease.add([entry["digest"]])
            image = _image(layout, entry, text, wanted)
            image = chosen.setdefault(image.entry["digest"], image)
            if by_name and all(tag.string != index.ref_name(entry) for tag in image.tags):
                image.tags.append(references.parse_normalized(index.ref_name(entry)))
    return [*chosen.values()]


def _refuse_lists(images: list[Chosen], format: str) -> None:
    for image in images:
        if not image.record:
            raise InvalidInputError(
                f"cannot save manifest list: {image.shown}: {format} holds images for one platform",
                hint="--format oci-archive, or oci-dir",
            )


def _make_whole(layout: Layout, images: list[Chosen], lease: leases.Lease) -> None:
    for image in images:
        if not image.record:
            continue  # a manifest list
        image.whole = other_platform.whole(layout, image.entry, image.shown)
        if image.whole is not None:
            lease.add(image.whole.digests)


def _list(layout: Layout, text: str, platform: str | None, lease: leases.Lease) -> Chosen | None:
    """Return the manifest list of that name; None if there is none."""
    try:
        reference = references.parse_normalized(text).with_default_tag()
    except InvalidReferenceError:
        return None
    if reference.digest or reference.string not in manifest_lists.names(layout):
        return None
    if platform:
        raise InvalidInputError(
            f"cannot save one platform of a manifest list: {text}", hint="name that image, or leave --platform out"
        )
    from pyrun.engine import save_list

    whole = save_list.whole(layout, reference.string, lease)
    top = whole.documents[-1]
    made = Chosen(
        {"mediaType": top.media_type, "digest": top.digest, "size": len(top.data)}, {}, {top.digest: top.data}
    )
    made.tags.append(reference)
    made.whole = whole
    return made


def _bring_dropped(layout: Layout, images: list[Chosen]) -> None:
    """Fetch again what `system prune --blobs` has taken of them."""
    layers = [layer for image in images for layer in image.record.get("layers", ())]
    others = [blob.descriptor for image in images if image.whole is not None for blob in image.whole.blobs]
    if any(
        dropped.repositories(layout, digest)
        for digest in [*(layer["digest"] for layer in layers), *(item.digest for item in others)]
    ):
        from pyrun.engine.refetch import Refetch
        from pyrun.oci.descriptor import Descriptor

        own = [Descriptor(layer["media_type"], layer["digest"], layer["size"]) for layer in layers]
        Refetch(layout).bring([*own, *others])


def _named(found: list[index.Entry], text: str) -> list[tuple[index.Entry, bool]]:
    """Return what a text means, and whether it means it by its tag: not by an id or a digest."""
    if _is_repository(text):
        name = references.parse_normalized(text).name
        tagged = [entry for entry in found if index.ref_name(entry).rpartition(":")[0] == name]
        if tagged:
            return [(entry, True) for entry in sorted(tagged, key=index.ref_name)]
    entry = resolve.find_in(found, text)
    return [(entry, "@" not in text and resolve.is_named(text, index.ref_name(entry)))]


def _is_repository(text: str) -> bool:
    try:
        wanted = references.parse_normalized(text)
    except InvalidReferenceError:
        return False  # an id, or nothing: whoever looks it up says what is wrong
    return not (wanted.tag or wanted.digest)


def _image(layout: Layout, entry: index.Entry, text: str, wanted: Platform | None) -> Chosen:
    record = resolve.load_record(layout, entry["digest"])
    if wanted is None:
        return Chosen(entry, record, {})
    try:
        resolve.require_platform(record, text, str(wanted))
    except NoMatchingPlatformError:
        other = other_platform.find(layout, entry, wanted)
        if other is None:
            raise
        return Chosen(other.entry, other.record, other.documents)
    return Chosen(entry, record, {})


@contextmanager
def _writer(options: Options) -> Iterator[Writer]:
    if options.format in DIRECTORIES:
        if not options.output:
            raise InvalidInputError(f"--format {options.format} writes a directory", hint="name it: -o DIRECTORY")
        with output_file.new_directory(options.output) as directory:
            yield archive_writer.DirectoryWriter(directory)
    elif options.output:
        with output_file.replaced(options.output) as fd:
            yield archive_writer.TarWriter(fd)
    else:
        yield archive_writer.TarWriter(options.output_fd)
