"""What images an archive holds: Docker's archive (old and new), an OCI layout, skopeo's ``dir:``.

It must not know the store, nor where the archive is. Every document is verified here; layers are by who unpacks them.
Sources: image-spec 1.1 image-layout.md; moby image/spec/v1.2.md "Combined Image JSON + Filesystem Changeset Format";
containers-transports(5).
"""

from __future__ import annotations

from pyrun.errors import InvalidReferenceError, NoMatchingPlatformError
from pyrun.images import archive_docker
from pyrun.images.archived_image import MAX_IMAGES, ArchivedImage, as_oci, whole_name
from pyrun.images.tar_header import invalid
from pyrun.oci import convert, media_types
from pyrun.oci import digest as digests
from pyrun.oci.descriptor import Descriptor, decode_image_layout
from pyrun.oci.index import Index, decode_index
from pyrun.oci.limits import MAX_DOCUMENT_BYTES
from pyrun.oci.manifest import decode_manifest
from pyrun.oci.platform import Platform, acceptable, best_match, host
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.images.archive import Archive

CONTAINERD_NAME = "io.containerd.image.name"  # whole names; docker reads and writes it


def images_in(archive: Archive, platform: Platform | None) -> list[ArchivedImage]:
    """Return the images of an archive, each once; of one for several platforms, ``platform``'s or this machine's.

    Raises: InvalidInputError and its kinds; DigestMismatchError; NoMatchingPlatformError.
    """
    if "index.json" in archive and "oci-layout" in archive:
        decode_image_layout(archive.read("oci-layout", MAX_DOCUMENT_BYTES))
        found = _of_layout(archive, platform)
    elif "manifest.json" in archive and "version" in archive:
        found = [_of_skopeo_directory(archive, platform)]
    elif "manifest.json" in archive:
        found = archive_docker.images_in(archive)
    elif "repositories" in archive:
        raise invalid("it is of a docker before 1.10, without manifest.json; load and save it with a newer docker")
    else:
        raise invalid(
            "it has neither index.json nor manifest.json: it holds no image",
            hint="`pyrun import` makes an image of a root file system",
        )
    for image in found:
        _check_platform(image, platform)
    return _merged(found)


def _merged(found: list[ArchivedImage]) -> list[ArchivedImage]:
    """Return one for each manifest: an index has an entry for each name."""
    by_digest: dict[str, ArchivedImage] = {}
    for image in found:
        first = by_digest.setdefault(image.descriptor.digest, image)
        first.names += [name for name in image.names if name not in first.names]
        first.extra |= image.extra
        first.documents |= image.documents
    return [*by_digest.values()]


def _check_platform(image: ArchivedImage, wanted: Platform | None) -> None:
    there = Platform.of(image.config)
    if wanted is not None and there not in acceptable(wanted):
        raise NoMatchingPlatformError(
            f"no image for {wanted}: {', '.join(image.names) or image.image_id}: the archive has it for {there}",
            registry="",
        )


# -- OCI layout, and skopeo's directory: documents that name one another by digest


def _of_layout(archive: Archive, platform: Platform | None) -> list[ArchivedImage]:
    top = decode_index(archive.read("index.json", MAX_DOCUMENT_BYTES))
    if len(top.manifests) > MAX_IMAGES:
        raise invalid(f"it has more than {MAX_IMAGES} images")
    found = []
    for entry in top.manifests:
        notes = entry.annotations or {}
        if _is_attestation(entry) or f"blobs/sha256/{digests.require_sha256(entry.digest)}" not in archive:
            continue  # docker lists platforms that it has not saved
        image = _Described(archive, platform, "blobs/sha256/{}", "blobs/sha256/{}").image(entry)
        if image is None:
            continue
        image.names = _names(notes)
        _restore_original(image, notes.get(index.ORIGINAL, ""))
        found.append(image)
    if not found:
        raise invalid("its index.json names no image that it has")
    return found


def _of_skopeo_directory(archive: Archive, platform: Platform | None) -> ArchivedImage:
    data = archive.read("manifest.json", MAX_DOCUMENT_BYTES)
    document = decode_manifest(data)
    kind = document.media_type or (media_types.OCI_INDEX if isinstance(document, Index) else media_types.OCI_MANIFEST)
    reader = _Described(archive, platform, "{}", "{}.manifest.json")
    image = reader.image(Descriptor(kind, digests.of(data), len(data)), data)
    if image is None:
        raise invalid("it holds no image that can run, but another kind of artifact")
    return image


class _Described:
    """Follows descriptors. ``blob_name`` and ``manifest_name``: where a file is, by the hexadecimal digits."""

    def __init__(self, archive: Archive, platform: Platform | None, blob_name: str, manifest_name: str) -> None:
        self._archive = archive
        self._platform = platform
        self._blob_name = blob_name
        self._manifest_name = manifest_name

    def image(self, entry: Descriptor, data: bytes | None = None) -> ArchivedImage | None:
        """Return the image that an entry leads to; None where it is another kind of artifact."""
        image = ArchivedImage(self._archive, is_described=True)
        if data is None:
            data = self._document(entry, self._manifest_name)
        document = decode_manifest(data, entry.media_type)
        if isinstance(document, Index):
            image.documents[entry.digest] = data
            image.extra[index.SOURCE_INDEX] = entry.digest
            entry = self._choose(document)
            data = self._document(entry, self._manifest_name)
            document = decode_manifest(data, entry.media_type)
            if isinstance(document, Index):
                raise invalid("an index in an index is not supported")
        if not document.is_image:
            return None
        image.documents[entry.digest] = data
        if media_types.DOCKER_MANIFEST in (entry.media_type, document.media_type):
            image.extra[index.ORIGINAL] = entry.digest
            document, entry = as_oci(image, document)
        config_data = self._document(document.config, self._blob_name)
        for layer in document.layers:
            member = self._archive.find(self._blob_name.format(digests.require_sha256(layer.digest)))
            if member.size != layer.size:
                raise invalid(f"blob {layer.digest} has {member.size} bytes, its manifest says {layer.size}")
            image.members[layer.digest] = member
        image.finish(entry, document, config_data)
        return image

    def _document(self, descriptor: Descriptor, name: str) -> bytes:
        data = self._archive.read(name.format(digests.require_sha256(descriptor.digest)), MAX_DOCUMENT_BYTES)
        digests.verify(data, descriptor.digest, "document of the archive")
        return data

    def _choose(self, document: Index) -> Descriptor:
        """Choose among the platforms that are there: docker saves an index whole, and of its images those it has."""
        there = [
            entry
            for entry in document.manifests
            if not _is_attestation(entry)
            and self._manifest_name.format(digests.require_sha256(entry.digest)) in self._archive
        ]
        entry = best_match(there, self._platform or host(with_variant=True))
        if entry is None and self._platform is None and len(there) == 1:
            return there[0]
        if entry is None:
            names = sorted(str(Platform.of(item.platform)) for item in there if item.platform is not None)
            raise NoMatchingPlatformError(
                f"no image for {self._platform or host()}: the archive has it for {', '.join(names) or 'none'}",
                registry="",
                hint="choose another one with --platform" if names else "",
            )
        return entry


def _is_attestation(entry: Descriptor) -> bool:
    return entry.platform is not None and "unknown" in (entry.platform.os, entry.platform.architecture)


def _names(notes: dict[str, str]) -> list[str]:
    """Return the whole name that an entry of index.json has, if any.

    The image-spec's ref.name may be no more than a tag ("1") or anything else: then it is none.
    """
    whole, word = notes.get(CONTAINERD_NAME, ""), notes.get(index.REF_NAME, "")
    # umoci gives a new image the old one's annotations but for ref.name: then the other is not its name.
    if whole and word in ("", whole, whole.rpartition(":")[2]):
        return [whole_name(whole)]
    try:
        return [whole_name(word)] if "/" in word or ":" in word else []
    except InvalidReferenceError:
        return []


def _restore_original(image: ArchivedImage, digest: str) -> None:
    """Take the schema 2 manifest that `save` has put beside the one that was made of it, if it is really its."""
    name = f"blobs/sha256/{digest.partition(':')[2]}"
    if not digest or name not in image.archive:
        return
    digests.require_sha256(digest)
    data = image.archive.read(name, MAX_DOCUMENT_BYTES)
    digests.verify(data, digest, "original manifest of the archive")
    original = decode_manifest(data)
    if isinstance(original, Index) or convert.to_oci(original)[0].digest != image.descriptor.digest:
        raise invalid(f"manifest {image.descriptor.digest} was not made of {digest}, as it says")
    image.documents[digest] = data
    image.extra[index.ORIGINAL] = digest
