"""The verb load: the images of an archive, through the pipeline of a pull, into the store; all of them or none.

It must not know formats (images/archive_images.py) nor terminals. A tar that lies in a file is read where it is; what
a pipe brings is kept below tmp/ first, as what its layers mean is often told at its end only. Nothing has a name before
it is verified.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pyrun.engine import events, judgement, namespace, obituary, publication
from pyrun.engine.fetch import Fetch
from pyrun.engine.image_pull import kept_before
from pyrun.engine.layer_sizes import LayerSizes
from pyrun.engine.origin import Origin
from pyrun.errors import (
    ImageNotFoundError,
    InvalidArchiveError,
    InvalidConfigError,
    InvalidDigestError,
    InvalidInputError,
    PyrunError,
    StoreCorruptError,
)
from pyrun.images import archive, archive_images, resolve, tar_stream
from pyrun.images import record as records
from pyrun.oci import reference as references
from pyrun.oci.platform import Platform
from pyrun.store import blobs, dropped, fsio, index, leases, owner, trees
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrun.engine.fetch import Progress
    from pyrun.images.archive import Archive
    from pyrun.images.archived_image import ArchivedImage
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.store.layout import Layout


def _deaf(event: str, what: str, number: int) -> None:
    """Hear no progress."""


class Loaded:
    """One image that was loaded. ``renamed``: (name, id of the image that had it) of each tag that moved."""

    __slots__ = ("image_id", "names", "renamed")

    def __init__(self, image_id: str, names: list[str]) -> None:
        self.image_id = image_id
        self.names = names
        self.renamed: list[tuple[str, str]] = []


def load(
    layout: Layout,
    path: str = "",
    *,
    input_fd: int = 0,
    platform: str | None = None,
    progress: Progress | None = None,
    form: str | None = None,
    spawn: Spawn | None = None,
    signature_policy: str | None = None,
) -> list[Loaded]:
    """Load the images of the archive or directory ``path``, or of what comes from ``input_fd``.

    ``progress``, ``form``, ``spawn``, ``signature_policy``: as for `pull`.

    Raises: PolicyRejectedError (of one image is enough); InvalidInputError and its kinds for what is no image archive;
    IntegrityError; NoMatchingPlatformError; StorageFullError. Then nothing is loaded.
    """
    wanted = Platform.parse(platform) if platform else None
    namespace.register(layout)
    obituary.write_all(layout)
    sweep(layout)
    with leases.acquire(layout, []) as lease, _named(path), _opened(layout, path, input_fd, lease) as found:
        images = _images_in(found, wanted)
        how = _Unpack(form or namespace.form(), spawn or namespace.spawner(layout), progress or _deaf)
        admitted = [_admit(image, path, signature_policy) for image in images]
        # The lease ends first: it would keep what is to be undone.
        with publication.undone_on_failure(layout, (PyrunError, OSError, KeyboardInterrupt)), lease:
            sizes = LayerSizes(layout)
            entries = [_bring(layout, image, lease, how, sizes) for image in images]
            for entry, admission in zip(entries, admitted, strict=True):
                admission.keep(layout, entry["digest"])  # the lease is on it, and nothing has its name yet
            return _tag(layout, images, entries)


def _images_in(found: Archive, wanted: Platform | None) -> list[ArchivedImage]:
    try:
        return archive_images.images_in(found, wanted)
    except (InvalidConfigError, InvalidDigestError) as error:  # of one of its documents
        raise InvalidArchiveError(error.message, hint=error.hint) from error


def _admit(image: ArchivedImage, path: str, signature_policy: str | None) -> judgement.Admitted:
    """Obey the signature policy: by the kind of the archive, and where it is."""
    described = "oci" if os.path.isdir(path) else "oci-archive"
    transport = described if image.is_described else "docker-archive"
    origin = Origin.file(transport, path)
    return judgement.admit(origin, image.descriptor.digest, given=signature_policy)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Let the errors of what cannot be read say which archive it was."""
    try:
        yield
    except InvalidArchiveError as error:
        raise InvalidArchiveError(error.reason, name=path or "standard input", hint=error.hint) from error


@contextmanager
def _opened(layout: Layout, path: str, input_fd: int, lease: leases.Lease) -> Iterator[Archive]:
    """Give the archive's members; what was kept of a pipe is gone afterwards."""
    with ExitStack() as stack:
        if path and os.path.isdir(path):
            yield archive.of_directory(path)
            return
        fd = input_fd
        if path:
            fd = _open(path)
            stack.callback(os.close, fd)
        head = tar_stream.read_head(fd)
        if archive.is_plain_tar(fd, head):
            yield archive.of_file(fd)
            return
        kept = f"{layout.tmp}/{owner.token()}"
        os.mkdir(kept, 0o700)
        stack.callback(trees.remove_tree, kept)

        def held(digest: str) -> str:
            lease.add([digest])
            return layout.blob(digest) if blobs.exists(layout, digest) else ""

        try:
            found = archive.of_pipe(fd, head, kept, held)
        except OSError as error:
            raise fsio.full_or(error, layout.root) from error
        yield found


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInputError(f"cannot load: {path}: {(error.strerror or '').lower()}") from error


class _Unpack(NamedTuple):
    """How layers are unpacked."""

    form: str
    spawn: Spawn
    progress: Progress


def _bring(layout: Layout, image: ArchivedImage, lease: leases.Lease, how: _Unpack, sizes: LayerSizes) -> index.Entry:
    """Publish what is missing of an image; return its entry for index.json, without a tag.

    ``sizes``: what is unpacked here is added.
    """
    if not image.is_described and (there := _same_image(layout, image.image_id, lease, how.form)):
        return there
    lease.add([image.descriptor.digest, *image.documents])
    lease.add([item for layer, diff_id in image.layers for item in (layer.digest, diff_id)])
    _publish_kept(layout, image)
    with Fetch(layout, image, *how, resumes=False, sizes=sizes) as fetch:
        fetch.stage(image.layers)
        sizes.known.update(fetch.unpacked())
        keep = sorted({*image.documents, *kept_before(layout, image.descriptor.digest)})
        record = records.build(image.descriptor.digest, image.manifest, image.config, unpacked=sizes.known, keep=keep)
        publication.publish(layout, fetch, image.documents, record)
    return records.index_entry(record, image.descriptor.size, repo_digests=[], extra=image.extra)


def _same_image(layout: Layout, image_id: str, lease: leases.Lease, form: str) -> index.Entry | None:
    """Return the entry of an image that is there under this id, whole: docker's archive says no more than the id."""
    for entry in index.entries(layout):
        if index.notes_of(entry).get(index.CONFIG) != image_id:
            continue
        lease.add([entry["digest"]])
        try:
            record = resolve.load_record(layout, entry["digest"])
        except (ImageNotFoundError, StoreCorruptError):
            continue  # it was just removed, or is to be mended by what we bring
        has_blobs = all(dropped.is_there_or_dropped(layout, layer["digest"]) for layer in record["layers"])
        if has_blobs and resolve.has_layers(layout, record, form):
            return index.untagged(entry)
    return None


def _publish_kept(layout: Layout, image: ArchivedImage) -> None:
    """Give the layers that a pipe has brought as files of their own, and whose digest is known, their names at once."""
    kept = {
        digest: member.path
        for digest, member in image.members.items()
        if member.digest == digest and not blobs.exists(layout, digest)
    }
    if not kept:
        return
    fsio.sync_file_system(layout.root)
    for digest, path in kept.items():
        blobs.publish(layout, path, digest)
        image.members[digest].path = layout.blob(digest)  # where the next image of this archive finds it


def _tag(layout: Layout, images: list[ArchivedImage], entries: list[index.Entry]) -> list[Loaded]:
    """Let all names of all images point at them, in one step."""
    loaded = [Loaded(image.image_id, image.names) for image in images]

    def change(found: list[index.Entry]) -> list[index.Entry]:
        for result, entry in zip(loaded, entries, strict=True):
            result.renamed = [moved for name in result.names for moved in _moved(found, name, result.image_id)]
            for name in result.names or [""]:
                found = index.put(found, entry, name)
        return _without_doubles(found, {image.image_id for image in images})

    index.update(layout, change)
    for result in loaded:
        for name in result.names or [result.image_id]:
            shown = references.parse_normalized(name).familiar if result.names else name
            events.image(layout, "load", result.image_id, shown)
    return loaded


def _without_doubles(found: list[index.Entry], image_ids: set[str]) -> list[index.Entry]:
    """Drop manifests without a name whose image is there under another one: to a user it is one image, by its id."""
    kept: list[index.Entry] = []
    for entry in sorted(found, key=lambda entry: not _is_named(entry)):
        image_id = index.notes_of(entry).get(index.CONFIG, "")
        is_double = any(index.notes_of(other).get(index.CONFIG) == image_id for other in kept)
        if _is_named(entry) or image_id not in image_ids or not is_double:
            kept.append(entry)
    return [entry for entry in found if any(entry is other for other in kept)]


def _is_named(entry: index.Entry) -> bool:
    return bool(index.ref_name(entry) or index.notes_of(entry).get(index.REPO_DIGESTS))


def _moved(found: list[index.Entry], name: str, image_id: str) -> list[tuple[str, str]]:
    old: list[Any] = [index.notes_of(entry).get(index.CONFIG, "") for entry in found if index.ref_name(entry) == name]
    return [(name, one) for one in old if one and one != image_id]
