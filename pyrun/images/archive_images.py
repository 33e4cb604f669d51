"""What images an archive holds: Docker's archive (old and new), an OCI layout, skopeo's ``dir:``.

It must not know the store, nor where the archive is. Every document is verified here; layers are by who unpacks them.
Sources: image-spec 1.1 image-layout.md; moby image/spec/v1.2.md "Combined Image JSON + Filesystem Changeset Format";
containers-transports(5).
"""

from __future__ import annotations

import hashlib

import msgspec

from pyrun.errors import DigestMismatchError, InvalidReferenceError, NoMatchingPlatformError
from pyrun.images.tar_header import invalid
from pyrun.layers import compression
from pyrun.oci import convert, media_types
from pyrun.oci import digest as digests
from pyrun.oci import reference as references
from pyrun.oci.config import ImageConfig, decode_config, layers_of
from pyrun.oci.descriptor import Descriptor, decode_image_layout
from pyrun.oci.document import decode
from pyrun.oci.index import Index, decode_index
from pyrun.oci.limits import MAX_DOCUMENT_BYTES
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, acceptable, best_match, host
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from pyrun.images.archive import Archive, Member

CONTAINERD_NAME = "io.containerd.image.name"  # whole names; docker reads and writes it
MAX_IMAGES = 1000
_LAYER_TYPES = {
    "none": media_types.OCI_LAYER, "gzip": media_types.OCI_LAYER_GZIP, "zstd": media_types.OCI_LAYER_ZSTD,
}  # fmt: skip


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
        found = _of_docker(archive)
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
            document, entry = _as_oci(image, document)
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


def _as_oci(image: ArchivedImage, document: Manifest) -> tuple[Manifest, Descriptor]:
    descriptor, data = convert.to_oci(document)
    image.documents[descriptor.digest] = data
    converted = decode_manifest(data, descriptor.media_type)
    assert isinstance(converted, Manifest)
    return converted, descriptor


def _is_attestation(entry: Descriptor) -> bool:
    return entry.platform is not None and "unknown" in (entry.platform.os, entry.platform.architecture)


def _names(notes: dict[str, str]) -> list[str]:
    """Return the whole name that an entry of index.json has, if any.

    The image-spec's ref.name may be no more than a tag ("1") or anything else: then it is none.
    """
    whole, word = notes.get(CONTAINERD_NAME, ""), notes.get(index.REF_NAME, "")
    # umoci gives a new image the old one's annotations but for ref.name: then the other is not its name.
    if whole and word in ("", whole, whole.rpartition(":")[2]):
        return [_name(whole)]
    try:
        return [_name(word)] if "/" in word or ":" in word else []
    except InvalidReferenceError:
        return []


def _name(text: str) -> str:
    reference = references.parse_normalized(text)
    if reference.digest:
        raise InvalidReferenceError(text, "an archive may name an image by a tag only")
    return reference.with_default_tag().string


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


# -- Docker's archive: manifest.json names files


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of docker's manifest.json."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


def _of_docker(archive: Archive) -> list[ArchivedImage]:
    saved = decode(archive.read("manifest.json", MAX_DOCUMENT_BYTES), list[_Saved], "manifest.json")
    if not saved:
        raise invalid("its manifest.json names no image")
    if len(saved) > MAX_IMAGES:
        raise invalid(f"it has more than {MAX_IMAGES} images")
    return [_of_saved(archive, item) for item in saved]


def _of_saved(archive: Archive, saved: _Saved) -> ArchivedImage:
    """Make a manifest of what docker's archive says: of the same archive always the same one.

    A layer is kept as it is there: packed anew, its digest would depend on who packs it.
    """
    image = ArchivedImage(archive, is_described=False)
    image.names = [_name(text) for text in saved.repo_tags or ()]
    config_data = archive.read(saved.config, MAX_DOCUMENT_BYTES)
    config_digest = digests.of(config_data)
    named = saved.config.removesuffix(".json").rpartition("/")[2].removeprefix("sha256:")
    if digests.is_well_formed(f"sha256:{named}") and f"sha256:{named}" != config_digest:
        raise DigestMismatchError(
            f"image config {saved.config[:200]!r}", expected=f"sha256:{named}", actual=config_digest
        )
    diff_ids = decode_config(config_data).rootfs.diff_ids
    if len(diff_ids) != len(saved.layers):
        raise invalid(f"{saved.config[:200]!r} has {len(diff_ids)} diff_ids for {len(saved.layers)} layers")
    layers = []
    for name, diff_id in zip(saved.layers, diff_ids, strict=True):
        member = archive.find(name)
        layer = _layer(archive, name, member, diff_id)
        image.members[layer.digest] = member
        layers.append(layer)
    config = Descriptor(media_types.OCI_CONFIG, config_digest, len(config_data))
    manifest, descriptor = _as_oci(image, Manifest(2, config, layers, media_type=media_types.OCI_MANIFEST))
    image.finish(descriptor, manifest, config_data)
    return image


def _layer(archive: Archive, name: str, member: Member, diff_id: str) -> Descriptor:
    head = b""
    chunks = archive.chunks(member)
    for chunk in chunks:
        head = chunk[: compression.MAGIC_SIZE]
        break
    chunks.close()
    kind = compression.detect(head)
    if kind == "none":
        return Descriptor(media_types.OCI_LAYER, diff_id, member.size)
    if kind not in _LAYER_TYPES:
        raise invalid(f"layer {name[:200]!r} is packed with {kind}, which no image may be")
    return Descriptor(_LAYER_TYPES[kind], member.digest or _digest(archive, member), member.size)


def _digest(archive: Archive, member: Member) -> str:
    state = hashlib.sha256()
    for chunk in archive.chunks(member):
        state.update(chunk)
    return f"sha256:{state.hexdigest()}"
