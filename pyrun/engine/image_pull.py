"""One pull from one place: reference -> index -> platform -> manifest -> config -> layers, and a tag in the store.

It must not know of policies, nor how layers are unpacked (`fetch.py`), nor show anything: a callback hears of progress.
Nothing is visible before everything is verified and synced; a pull that fails or is killed leaves tmp/ to a sweep, and
partial/ to the next one.
"""

from __future__ import annotations

from pyrun.engine import events, index_parts, judgement, publication
from pyrun.engine.fetch import Fetch
from pyrun.engine.layer_sizes import LayerSizes
from pyrun.engine.origin import Origin
from pyrun.engine.pull import PullResult
from pyrun.engine.refetch import Refetch
from pyrun.engine.sources import EMBEDDED_DOMAIN
from pyrun.errors import ImageNotFoundError, InvalidConfigError, NoMatchingPlatformError, StoreCorruptError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci import convert, media_types
from pyrun.oci.config import ImageConfig, decode_config, layers_of
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, acceptable, best_match
from pyrun.store import blobs, fsio, index, leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.fetch import Progress
    from pyrun.engine.sources import ImageSource
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


def unpack_missing(layout: Layout, record: dict[str, Any], form: str, *, spawn: Spawn) -> None:
    """Unpack an image's layers in another form from its blobs.

    Raises: StoreCorruptError where a blob is missing; IntegrityError where it is damaged.
    """
    with leases.acquire(layout, [record["manifest"], record["image_id"]]) as lease:
        manifest, config = _documents(layout, record)
        layers = layers_of(manifest, config)
        lease.add([item for descriptor, diff_id in layers for item in (descriptor.digest, diff_id)])
        Refetch(layout).bring(descriptor for descriptor, _ in layers)
        with Fetch(layout, None, form, spawn, lambda *_: None) as fetch:
            fetch.stage(layers)
            fsio.sync_file_system(layout.root)
            fetch.publish()


class ImagePull:
    """One pull. ``all_platforms``: all that an index names is to be in the store, so that it can be pushed as it is."""

    def __init__(
        self,
        layout: Layout,
        source: ImageSource,
        reference: Reference,
        platform: Platform,
        form: str,
        spawn: Spawn,
        progress: Progress,
        *,
        all_platforms: bool = False,
        signature_policy: str | None = None,
        stored: Entry | None = None,
    ) -> None:
        """``stored``: what ``source`` gives another platform of, if that is the store."""
        self._layout = layout
        self._signature_policy = signature_policy
        self._stored = stored
        self._source = source
        self._reference = reference
        self._platform = platform
        self._progress = progress
        self._sizes = LayerSizes(layout)
        self._fetch = Fetch(layout, source, form, spawn, progress, sizes=self._sizes)
        self._all_platforms = all_platforms
        self._documents: dict[str, bytes] = {}  # digest -> bytes, to be kept as blobs
        self._others: dict[str, Descriptor] = {}  # the layers of other platforms
        self._extra: dict[str, str] = {}

    def run(self) -> PullResult:
        found, data = self._source.resolve(self._reference)
        self._progress("resolved", found.digest, found.size)
        descriptor, manifest = self._manifest(found, data)
        admitted = self._admit(found.digest, self._extra.get(index.ORIGINAL, descriptor.digest))
        config_data = self._blob(manifest.config)
        config = decode_config(config_data)
        self._check_platform(config)
        self._documents[manifest.config.digest] = config_data
        layers = layers_of(manifest, config)
        names = [found.digest, descriptor.digest, *self._documents, *self._others]
        names += [item for layer, diff_id in layers for item in (layer.digest, diff_id)]
        # From here on nothing that we find in the store can be collected.
        with publication.undone_on_failure(self._layout), leases.acquire(self._layout, names):
            with self._fetch as fetch:
                own = {layer.digest for layer, _ in layers}
                fetch.stage(layers, blobs=[item for digest, item in self._others.items() if digest not in own])
                unpacked = {**self._sizes.known, **fetch.unpacked()}
                keep = sorted({*self._documents, *self._others, *kept_before(self._layout, descriptor.digest)})
                record = records.build(descriptor.digest, manifest, config, unpacked=unpacked, keep=keep)
                admitted.keep(self._layout, descriptor.digest)
                publication.publish(self._layout, fetch, self._documents, record)
            return self._tag(record, descriptor.size, found.digest)

    def _manifest(self, found: Descriptor, data: bytes) -> tuple[Descriptor, Manifest]:
        """Go from what the reference names to an OCI manifest of this platform."""
        document = decode_manifest(data, found.media_type)
        if isinstance(document, Index):
            self._documents[found.digest] = data
            self._extra[index.SOURCE_INDEX] = found.digest
            entry = self._choose(document)
            self._take_others(document)
            data = self._manifest_bytes(entry)
            found, document = entry, decode_manifest(data, entry.media_type)
            if isinstance(document, Index):
                raise InvalidConfigError("image index", "/manifests", "an index in an index is not supported")
        if not document.is_image:
            raise InvalidConfigError(
                "image manifest",
                "/config/mediaType",
                f"{document.config.media_type} is no image that can run",
                hint="it is another kind of artifact: a chart, a signature or the like",
            )
        self._documents[found.digest] = data
        if media_types.DOCKER_MANIFEST in (found.media_type, document.media_type):
            self._extra[index.ORIGINAL] = found.digest
            found, data = convert.to_oci(document)
            document = decode_manifest(data, found.media_type)
            assert isinstance(document, Manifest)
            self._documents[found.digest] = data
        return found, document

    def _admit(self, digest: str, manifest: str) -> judgement.Admitted:
        """Obey the signature policy; ``manifest``: the digest of what will run, as the registry has it."""
        if self._stored is not None:
            return judgement.admit_of_store(self._layout, self._stored, manifest, given=self._signature_policy)
        if self._reference.domain == EMBEDDED_DOMAIN:
            return judgement.Admitted(None, [])  # a part of pyrun
        return judgement.admit(
            Origin.registry(self._reference), manifest, self._source.signatures(manifest),
            given=self._signature_policy, is_of_index=digest != manifest and index.SOURCE_INDEX in self._extra,
        )  # fmt: skip

    def _take_others(self, document: Index) -> None:
        """Note what belongs to the index but not to this platform, if all of it is wanted, or here already."""
        fetch_one = self._manifest_bytes if self._all_platforms else None
        parts = index_parts.parts(document, fetch_one or (lambda entry: index_parts.stored(self._layout, entry)))
        if not self._all_platforms and not (parts and index_parts.are_stored(self._layout, parts)):
            return
        assert parts is not None
        self._extra[index.ALL_PLATFORMS] = "true"
        self._documents.update(parts.manifests)
        for config in parts.configs:
            self._documents[config.digest] = self._blob(config)
        self._others = {layer.digest: layer for layer in parts.layers}

    def _manifest_bytes(self, descriptor: Descriptor) -> bytes:
        known = index_parts.stored(self._layout, descriptor)
        return self._source.manifest(descriptor) if known is None else known

    def _blob(self, descriptor: Descriptor) -> bytes:
        known = index_parts.stored(self._layout, descriptor)
        return self._source.blob(descriptor) if known is None else known

    def _choose(self, document: Index) -> Descriptor:
        entry = best_match(document.manifests, self._platform)
        if entry is None and self._all_platforms:  # all of it is wanted, whatever runs here
            entry = next((item for item in document.manifests if index_parts.is_image(item)), None)
            if entry is not None and entry.platform is not None:
                self._platform = Platform.of(entry.platform)
        if entry is None:
            # Attestations are entries for a platform named unknown: nothing a user could ask for.
            there = [str(Platform.of(item.platform)) for item in document.manifests if item.platform is not None]
            raise self._no_match(sorted({name for name in there if "unknown" not in name}))
        return entry

    def _check_platform(self, config: ImageConfig) -> None:
        """Compare with the config itself: a plain manifest and an index entry without platform say nothing before."""
        there = Platform(config.os, config.architecture, config.variant or "")
        if there not in acceptable(self._platform):
            raise self._no_match([str(there)])

    def _no_match(self, there: list[str]) -> NoMatchingPlatformError:
        what = ", ".join(there) or "no platform that it names"
        return NoMatchingPlatformError(
            f"no image for {self._platform}: {self._reference.familiar}: there is {what}",
            registry=self._reference.domain,
            hint="choose another one with --platform" if there else "",
        )

    def _tag(self, record: dict[str, Any], size: int, digest: str) -> PullResult:
        repository = self._reference.name
        names = [f"{repository}@{digest}"]
        original = self._extra.get(index.ORIGINAL, record["manifest"])
        # The manifest can be pulled by its own digest as well, unless it is our conversion, which no registry has.
        names += [f"{repository}@{original}"] if original != digest else []
        entry = records.index_entry(record, size, repo_digests=names, extra=self._extra)
        # With a digest the tag beside it proves nothing (docker: the digest wins): no tag is made.
        tag = "" if self._reference.digest else self._reference.string
        unchanged: list[bool] = []

        def change(found: list[index.Entry]) -> list[index.Entry]:
            same = [item for item in found if item["digest"] == record["manifest"]]
            unchanged.append(any(index.ref_name(item) == tag or not tag for item in same))
            return index.put(found, entry, tag)

        index.update(self._layout, change)
        events.image(
            self._layout, "pull", self._reference.familiar, self._reference.familiar_name, record.get("labels")
        )
        return PullResult(self._reference, record, digest, up_to_date=unchanged[0])


def kept_before(layout: Layout, manifest: str) -> list[str]:
    """Return what an image that is here already keeps: what its tags' index names, though it came without it now."""
    try:
        keep: list[str] = resolve.load_record(layout, manifest).get("keep", [])
        return keep
    except (ImageNotFoundError, StoreCorruptError):
        return []


def _documents(layout: Layout, record: dict[str, Any]) -> tuple[Manifest, ImageConfig]:
    manifest = decode_manifest(blobs.read(layout, record["manifest"]))
    assert isinstance(manifest, Manifest)
    return manifest, decode_config(blobs.read(layout, record["image_id"]))
