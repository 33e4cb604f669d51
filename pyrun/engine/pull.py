"""The verb pull: reference -> index -> platform -> manifest -> config -> layers, and a tag in the store.

It must not know how layers are unpacked (`fetch.py`), nor show anything: a callback hears of progress.
Nothing is visible before everything is verified and synced; a pull that fails or is killed leaves tmp/ to a sweep.
"""

from __future__ import annotations

import os

from pyrun.engine import events, namespace, obituary, publication, sources
from pyrun.engine.fetch import Fetch
from pyrun.errors import ImageNotFoundError, InvalidConfigError, InvalidInputError, NoMatchingPlatformError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci import convert, media_types
from pyrun.oci import reference as references
from pyrun.oci.config import ImageConfig, decode_config, layers_of
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, acceptable, best_match, host
from pyrun.store import blobs, fsio, index, leases
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.fetch import Progress
    from pyrun.engine.sources import ImageSource
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.store.layout import Layout

POLICIES = ("always", "missing", "never")


class PullResult:
    """What a pull found or brought. ``digest`` is that of the tag (an index's, if it is one), as docker prints it."""

    __slots__ = ("digest", "image_id", "manifest", "record", "reference", "status_lines", "up_to_date")

    def __init__(self, reference: Reference, record: dict[str, Any], digest: str, *, up_to_date: bool) -> None:
        self.reference = reference
        self.record = record
        self.manifest: str = record["manifest"]
        self.image_id: str = record["image_id"]
        self.digest = digest
        self.up_to_date = up_to_date
        said = "Image is up to date for" if up_to_date else "Downloaded newer image for"
        self.status_lines = [f"Digest: {digest}", f"Status: {said} {reference.familiar}", reference.string]


def pull(
    layout: Layout,
    text: str,
    *,
    platform: str | None = None,
    policy: str = "always",
    progress: Progress | None = None,
    quiet: bool = False,
    form: str | None = None,
    spawn: Spawn | None = None,
    source: ImageSource | None = None,
    tls_verify: bool | None = None,
) -> PullResult:
    """Make an image available, layers unpacked in ``form`` (default: what this user's namespace can own).

    ``progress(event, what, number)`` is called from several threads: ``resolved`` (digest), then per layer (its blob's
    digest) ``start`` (size), ``bytes`` (more bytes), ``unpacked`` (bytes on disk), ``done``, or ``exists`` alone.
    Raises: ImageNotFoundError (policy never), RegistryError and its kinds, IntegrityError, StorageFullError.
    """
    if policy not in POLICIES:
        raise InvalidInputError(f"invalid pull policy: {policy!r}", hint="it is one of always, missing, never")
    wanted = Platform.parse(platform) if platform else None
    hear = progress if progress is not None and not quiet else _deaf
    form = form or namespace.form()
    spawn = spawn or namespace.spawner(layout)
    namespace.register(layout)
    if policy != "always":
        found = _local(layout, text, wanted, policy)
        if found is not None:
            ensure_form(layout, found, form, spawn=spawn)
            reference = references.parse_any(text).with_default_tag()
            return PullResult(reference, found, found["manifest"], up_to_date=True)
    if source is None:
        reference, remote = sources.find(text, tls_verify=tls_verify)
    else:
        reference, remote = references.parse_normalized(text).with_default_tag(), source
    obituary.write_all(layout)
    sweep(layout)
    try:
        return _Pull(layout, remote, reference, wanted or host(with_variant=True), form, spawn, hear).run()
    finally:
        remote.close()


def ensure_form(layout: Layout, record: dict[str, Any], form: str, *, spawn: Spawn) -> None:
    """Unpack an image's layers in another form from its blobs, if they are missing; the cheap case is one stat each.

    Raises: StoreCorruptError where a blob is missing; IntegrityError where it is damaged.
    """
    if resolve.has_layers(layout, record, form):
        return
    manifest, config = _documents(layout, record)
    with leases.acquire(layout, [record["manifest"], record["image_id"]]) as lease:
        layers = layers_of(manifest, config)
        lease.add([item for descriptor, diff_id in layers for item in (descriptor.digest, diff_id)])
        with Fetch(layout, None, form, spawn, _deaf) as fetch:
            fetch.stage(layers)
            fsio.sync_file_system(layout.root)
            fetch.publish()


def _local(layout: Layout, text: str, wanted: Platform | None, policy: str) -> dict[str, Any] | None:
    try:
        record = resolve.resolve_image(layout, text)
    except ImageNotFoundError:
        if policy == "never":
            raise
        return None
    if wanted is None or Platform(record["os"], record["architecture"], record["variant"]) in acceptable(wanted):
        return record
    if policy == "never":
        raise NoMatchingPlatformError(
            f"image is for another platform: {text}: it is {record['platform']}, asked for {wanted}",
            registry="",
            hint=f"pull it: `pyrun pull --platform {wanted} {text}`",
        )
    return None


class _Pull:
    """One pull from one place."""

    def __init__(
        self,
        layout: Layout,
        source: ImageSource,
        reference: Reference,
        platform: Platform,
        form: str,
        spawn: Spawn,
        progress: Progress,
    ) -> None:
        self._layout = layout
        self._source = source
        self._reference = reference
        self._platform = platform
        self._progress = progress
        self._fetch = Fetch(layout, source, form, spawn, progress)
        self._documents: dict[str, bytes] = {}  # digest -> bytes, to be kept as blobs
        self._extra: dict[str, str] = {}

    def run(self) -> PullResult:
        found, data = self._source.resolve(self._reference)
        self._progress("resolved", found.digest, found.size)
        descriptor, manifest = self._manifest(found, data)
        config_data = self._source.blob(manifest.config)
        config = decode_config(config_data)
        self._check_platform(config)
        self._documents[manifest.config.digest] = config_data
        layers = layers_of(manifest, config)
        names = [found.digest, descriptor.digest, *self._documents]
        names += [item for layer, diff_id in layers for item in (layer.digest, diff_id)]
        # From here on nothing that we find in the store can be collected.
        with publication.undone_on_failure(self._layout), leases.acquire(self._layout, names):
            known = _known_sizes(self._layout)
            with self._fetch as fetch:
                fetch.stage(layers)
                unpacked = {**known, **fetch.unpacked()}
                record = records.build(
                    descriptor.digest, manifest, config, unpacked=unpacked, keep=sorted(self._documents)
                )
                publication.publish(self._layout, fetch, self._documents, record)
            return self._tag(record, descriptor.size, found.digest)

    def _manifest(self, found: Descriptor, data: bytes) -> tuple[Descriptor, Manifest]:
        """Go from what the reference names to an OCI manifest of this platform."""
        document = decode_manifest(data, found.media_type)
        if isinstance(document, Index):
            self._documents[found.digest] = data
            self._extra[index.SOURCE_INDEX] = found.digest
            entry = self._choose(document)
            data = self._source.manifest(entry)
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

    def _choose(self, document: Index) -> Descriptor:
        entry = best_match(document.manifests, self._platform)
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


def _documents(layout: Layout, record: dict[str, Any]) -> tuple[Manifest, ImageConfig]:
    manifest = decode_manifest(blobs.read(layout, record["manifest"]))
    assert isinstance(manifest, Manifest)
    return manifest, decode_config(blobs.read(layout, record["image_id"]))


def _known_sizes(layout: Layout) -> dict[str, int]:
    """Return the unpacked size of each layer of the store's images: none is unpacked again to be measured."""
    found: dict[str, int] = {}
    for name in os.listdir(layout.images):
        try:
            record = resolve.load_record(layout, name)
        except ImageNotFoundError:
            continue
        found.update((layer["diff_id"], layer.get("unpacked", 0)) for layer in record["layers"])
    return found


def _deaf(event: str, what: str, number: int) -> None:
    """Hear no progress."""
