"""Docker's archive, as docker before 25 and podman write it: manifest.json names files, and no digest but the layers'.

It must not know the store. Source: moby image/spec/v1.2.md "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
from contextlib import closing

import msgspec

from pyrun.errors import DigestMismatchError
from pyrun.images.archived_image import MAX_IMAGES, ArchivedImage, as_oci, whole_name
from pyrun.images.tar_header import invalid
from pyrun.layers import compression
from pyrun.oci import digest as digests
from pyrun.oci import media_types
from pyrun.oci.config import decode_config
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.document import decode
from pyrun.oci.limits import MAX_DOCUMENT_BYTES
from pyrun.oci.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.images.archive import Archive, Member

_LAYER_TYPES = {
    "none": media_types.OCI_LAYER, "gzip": media_types.OCI_LAYER_GZIP, "zstd": media_types.OCI_LAYER_ZSTD,
}  # fmt: skip


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of docker's manifest.json."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


def images_in(archive: Archive) -> list[ArchivedImage]:
    """Return the images that manifest.json names. Raises: InvalidInputError and its kinds; DigestMismatchError."""
    saved = decode(archive.read("manifest.json", MAX_DOCUMENT_BYTES), list[_Saved], "manifest.json")
    if not saved:
        raise invalid("its manifest.json names no image")
    if len(saved) > MAX_IMAGES:
        raise invalid(f"it has more than {MAX_IMAGES} images")
    layers = _Layers(archive)
    return [_of_saved(archive, item, layers) for item in saved]


def _of_saved(archive: Archive, saved: _Saved, known: _Layers) -> ArchivedImage:
    """Make a manifest of what docker's archive says: of the same archive always the same one.

    A layer is kept as it is there: packed anew, its digest would depend on who packs it.
    """
    image = ArchivedImage(archive, is_described=False)
    image.names = [whole_name(text) for text in saved.repo_tags or ()]
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
        layer = known.layer(name, member, diff_id)
        image.members[layer.digest] = member
        layers.append(layer)
    config = Descriptor(media_types.OCI_CONFIG, config_digest, len(config_data))
    manifest, descriptor = as_oci(image, Manifest(2, config, layers, media_type=media_types.OCI_MANIFEST))
    image.finish(descriptor, manifest, config_data)
    return image


class _Layers:
    """The layers of an archive, each read but once: images share them, and a hostile archive names one often."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._kinds: dict[Member, str] = {}
        self._digests: dict[Member, str] = {}

    def layer(self, name: str, member: Member, diff_id: str) -> Descriptor:
        """Describe one. Raises: InvalidInputError: no image may have it."""
        kind = self._kinds.get(member) or self._kinds.setdefault(member, self._detect(member))
        if kind == "none":
            return Descriptor(media_types.OCI_LAYER, diff_id, member.size)
        if kind not in _LAYER_TYPES:
            raise invalid(f"layer {name[:200]!r} is packed with {kind}, which no image may be")
        if member not in self._digests:
            self._digests[member] = member.digest or self._digest(member)
        return Descriptor(_LAYER_TYPES[kind], self._digests[member], member.size)

    def _detect(self, member: Member) -> str:
        with closing(self._archive.chunks(member)) as chunks:
            return compression.detect(next(chunks, b"")[: compression.MAGIC_SIZE])

    def _digest(self, member: Member) -> str:
        state = hashlib.sha256()
        for chunk in self._archive.chunks(member):
            state.update(chunk)
        return f"sha256:{state.hexdigest()}"
