"""The verb save: images of the store as an archive or a directory that other tools load.

It must not print. ``docker-archive`` is what today's docker writes: an OCI layout whose blobs are the store's, with
manifest.json beside for those that read no layout (docker before 25, podman's docker-archive:, skopeo). Nothing is
packed anew, so digests stay; a schema 2 original is carried beside its OCI form. The OCI formats hold a whole index,
where all platforms were pulled and none is asked for.
"""

from __future__ import annotations

from contextlib import contextmanager

from pyrun.engine import events, output_file, save_platform
from pyrun.errors import InvalidInputError, InvalidReferenceError, NoMatchingPlatformError
from pyrun.images import archive_writer, resolve
from pyrun.images.archive_images import CONTAINERD_NAME
from pyrun.oci import json
from pyrun.oci import reference as references
from pyrun.oci.platform import Platform
from pyrun.store import dropped, index, leases

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

    ``whole``: the index that stands in its place, and what that names.
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
        _bring_dropped(layout, images)
        with _writer(options) as writer:
            if options.format == DOCKER_DIRECTORY:
                from pyrun.engine import save_directory

                assert isinstance(writer, archive_writer.DirectoryWriter)
                save_directory.write(layout, images, writer, compress=options.compress)
            else:
                _write_layout(layout, images, writer, is_docker=options.format == DOCKER_ARCHIVE)
    for image in images:
        shown = image.tags[0].familiar if image.tags else image.record["image_id"]
        events.image(layout, "save", image.record["image_id"], shown)


def choose(layout: Layout, names: Sequence[str], platform: str | None, lease: leases.Lease) -> list[Chosen]:
    """Find the images, in the order in which they are named; a repository without a tag means all of its tags."""
    wanted = Platform.parse(platform) if platform else None
    found = index.entries(layout)
    chosen: dict[str, Chosen] = {}
    for text in names:
        for entry, by_name in _named(found, text):
            lease.add([entry["digest"]])
            image = _image(layout, entry, text, wanted)
            image = chosen.setdefault(image.entry["digest"], image)
            if by_name and all(tag.string != index.ref_name(entry) for tag in image.tags):
                image.tags.append(references.parse_normalized(index.ref_name(entry)))
    return [*chosen.values()]


def _make_whole(layout: Layout, images: list[Chosen], lease: leases.Lease) -> None:
    for image in images:
        shown = image.tags[0].familiar if image.tags else image.record["image_id"]
        image.whole = save_platform.whole(layout, image.entry, shown)
        if image.whole is not None:
            lease.add(image.whole.digests)


def _bring_dropped(layout: Layout, images: list[Chosen]) -> None:
    """Fetch again what `system prune --blobs` has taken of them."""
    layers = [layer for image in images for layer in image.record["layers"]]
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
        other = save_platform.find(layout, entry, wanted)
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


def _write_layout(layout: Layout, images: list[Chosen], writer: Writer, *, is_docker: bool) -> None:
    """Documents first: who reads a pipe knows then what the blobs are."""
    digests: set[str] = set()
    for image in images:
        layers = [layer["digest"] for layer in image.record["layers"]]
        digests.update((image.record["manifest"], image.record["image_id"], *layers))
        digests.update([image.original] if image.original else [])
        if image.whole is not None:
            digests.update(document.digest for document in image.whole.documents)
            digests.update(blob.descriptor.digest for blob in image.whole.blobs if not blob.is_foreign)
    made = {digest: data for image in images for digest, data in image.documents.items()}
    for digest in sorted(digests - made.keys()):  # before anything is written
        archive_writer.check_blob(layout.blob(digest), digest)
    writer.document("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    writer.document("index.json", _encode(_index(images)))
    if is_docker:
        writer.document("manifest.json", _encode([_docker_entry(image) for image in images]))
        writer.document("repositories", _encode(_repositories(images)))
    writer.directory("blobs")
    writer.directory("blobs/sha256")
    for digest in sorted(digests):
        name = f"blobs/{digest.replace(':', '/', 1)}"
        if digest in made:
            writer.document(name, made[digest])
        else:
            writer.blob(name, layout.blob(digest), digest)
    writer.end()


def _encode(document: object) -> bytes:
    return json.dumps(document).encode("ascii")


def _index(images: list[Chosen]) -> dict[str, Any]:
    entries = []
    for image in images:
        descriptor = {
            key: image.entry[key] for key in ("mediaType", "digest", "size", "platform") if key in image.entry
        }
        if image.whole is not None:
            top = image.whole.documents[-1]
            descriptor = {"mediaType": top.media_type, "digest": top.digest, "size": len(top.data)}
        notes = {index.ORIGINAL: image.original} if image.original else {}
        # The whole name also where docker has the tag alone: podman and skopeo take the image's name from there.
        entries += [
            {**descriptor, "annotations": {CONTAINERD_NAME: tag.string, index.REF_NAME: tag.string, **notes}}
            for tag in image.tags
        ]
        if not image.tags:
            entries.append({**descriptor, "annotations": notes} if notes else descriptor)
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}


def _docker_entry(image: Chosen) -> dict[str, Any]:
    layers = [f"blobs/{layer['digest'].replace(':', '/', 1)}" for layer in image.record["layers"]]
    tags = [tag.familiar for tag in image.tags]
    return {"Config": f"blobs/{image.record['image_id'].replace(':', '/', 1)}", "RepoTags": tags or None,
            "Layers": layers}  # fmt: skip


def _repositories(images: list[Chosen]) -> dict[str, dict[str, str]]:
    """Return what dockers before 1.10 looked at: the top layer of each tag."""
    found: dict[str, dict[str, str]] = {}
    for image in images:
        for tag in image.tags:
            found.setdefault(tag.familiar_name, {})[tag.tag] = image.record["layers"][-1]["digest"].partition(":")[2]
    return found
