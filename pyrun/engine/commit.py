"""``commit``: a container's changes as one more layer on its image, with a configuration of its own, under a tag.

It must not print. The layer is what `diff` tells, written by the helper (native/tree/pack.c): the same files give the
same bytes (commit_layer.py).
"""

from __future__ import annotations

import time
from contextlib import nullcontext

import msgspec

from pyrun.engine import commit_layer, events, namespace, publication
from pyrun.engine.fetch import Fetch
from pyrun.engine.inspect import container_config
from pyrun.engine.lifecycle import signal_number
from pyrun.engine.short_pause import while_paused
from pyrun.errors import InvalidInputError, InvalidReferenceError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci import digest as digests
from pyrun.oci import instructions, media_types
from pyrun.oci import reference as references
from pyrun.oci.config import ContainerConfig, Healthcheck, History, RootFS, decode_config, layers_of
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.runtime import state
from pyrun.store import blobs, containers, index, leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrun.engine.fetch import Staged
    from pyrun.engine.judgement import Admitted
    from pyrun.oci.config import ImageConfig
    from pyrun.store.layout import Layout


class Options:
    """``reference``: the tag, or ""; ``changes``: Dockerfile instructions; ``pause``: a running container meanwhile."""

    __slots__ = ("author", "changes", "message", "pause", "reference")

    def __init__(
        self, *, reference: str = "", author: str = "", message: str = "", changes: Sequence[str] = (),
        pause: bool = True,
    ) -> None:  # fmt: skip
        self.reference = reference
        self.author = author
        self.message = message
        self.changes = changes
        self.pause = pause


def commit(layout: Layout, name: str, options: Options) -> str:
    """Make an image of a container, running or not; return its id, ``sha256:…``.

    Raises: ContainerNotFoundError; InvalidReferenceError; InvalidInputError for a change; StoreCorruptError if a
    document of its image is missing; StorageFullError.
    """
    tag = tag_of(options.reference)
    _, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    needed = [record["manifest"], record["image_id"]]
    with publication.undone_on_failure(layout), leases.acquire(layout, needed) as lease:
        containers.load(directory)  # until now it was the container that kept them
        manifest = decode_manifest(blobs.read(layout, record["manifest"]))
        assert isinstance(manifest, Manifest)
        image = decode_config(blobs.read(layout, record["image_id"]))
        lease.add([item for layer, diff_id in layers_of(manifest, image) for item in (layer.digest, diff_id)])
        shown = resolve.load_record(layout, record["manifest"])
        defaults = _defaults(directory, record, shown, image, options.changes)
        now = state.status(directory)
        running = now.status == "running" and not now.paused
        with while_paused(layout, name) if options.pause and running else nullcontext():
            namespace.register(layout)
            layer = commit_layer.write(layout, directory, record, lease)
        config, manifest = _extend(image, manifest, defaults, layer, options, record)
        sizes = {layer["diff_id"]: layer["unpacked"] for layer in shown["layers"]}
        image_id = store_image(layout, config, manifest, layer, sizes, lease, tag)
    more = {"comment": options.message, "imageID": image_id, "imageRef": tag}
    events.container(layout, "commit", record, **{key: value for key, value in more.items() if value})
    return image_id


def tag_of(text: str) -> str:
    """Return the whole name that a new image is to have, or "". Raises: InvalidReferenceError."""
    if not text:
        return ""
    wanted = references.parse_normalized(text)
    if wanted.digest:
        raise InvalidReferenceError(text, "refusing to create a tag with a digest reference")
    return wanted.with_default_tag().string


def _defaults(
    directory: str, record: dict[str, Any], image_record: dict[str, Any], image: ImageConfig, changes: Sequence[str]
) -> ContainerConfig:
    """Return what containers of the new image get: what this one was given, then the changes."""
    config = containers.load_file(directory, "config.json")
    shown = container_config(record, config, image_record)
    base = image.config or ContainerConfig()
    given = ContainerConfig(
        user=shown["User"] or None,
        exposed_ports=shown.get("ExposedPorts"),
        env=shown["Env"] or None,
        entrypoint=shown["Entrypoint"] or None,
        cmd=shown["Cmd"] or None,
        volumes={**(base.volumes or {}), **(shown["Volumes"] or {})} or None,
        working_dir=record["options"]["workdir"] or base.working_dir,
        labels=dict(record["labels"]) or None,
        stop_signal=shown.get("StopSignal"),
        stop_timeout=base.stop_timeout,
        healthcheck=msgspec.convert(shown.get("Healthcheck"), Healthcheck | None),
        shell=base.shell,
    )
    changed = instructions.apply(given, changes)
    if changed.stop_signal:
        signal_number(changed.stop_signal)
    return changed


def _extend(
    image: ImageConfig, manifest: Manifest, defaults: ContainerConfig, layer: Staged | None, options: Options,
    record: dict[str, Any],
) -> tuple[ImageConfig, Manifest]:  # fmt: skip
    """Return the new image's configuration, and its manifest but for the configuration's descriptor."""
    created = state.rfc3339(time.time_ns())
    step = History(
        created=created, author=options.author or None, created_by=" ".join(record["args"]),
        comment=options.message or None, empty_layer=None if layer else True,
    )  # fmt: skip
    diff_ids, layers = [*image.rootfs.diff_ids], [*manifest.layers]
    if layer:
        diff_ids.append(layer.diff_id)
        layers.append(layer.descriptor)
    config = msgspec.structs.replace(
        image, created=created, author=options.author or None, config=defaults,
        rootfs=RootFS(type="layers", diff_ids=diff_ids), history=[*(image.history or ()), step],
    )  # fmt: skip
    return config, Manifest(2, manifest.config, layers, media_type=media_types.OCI_MANIFEST)


def store_image(
    layout: Layout, config: ImageConfig, manifest: Manifest, layer: Staged | None, sizes: dict[str, int],
    lease: leases.Lease, tag: str, admitted: Admitted | None = None,
) -> str:  # fmt: skip
    """Publish everything, move the tag; return the image id. The layers below are unpacked where they are not yet.

    ``sizes``: of the files of the layers below, by diff_id. ``admitted``: for what was not made of what is here.
    """
    try:
        config_data = msgspec.json.encode(config, order="deterministic")
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"cannot make the image: {error.object!r} is not UTF-8, as all of an image's configuration must be",
            hint="it is a label, a variable or an argument of the container; -c can replace it",
        ) from None
    image_id = digests.of(config_data)
    described = Descriptor(media_types.OCI_CONFIG, image_id, len(config_data))
    manifest = msgspec.structs.replace(manifest, config=described)
    manifest_data = msgspec.json.encode(manifest, order="deterministic")
    manifest_digest = digests.of(manifest_data)
    lease.add([image_id, manifest_digest])
    with Fetch(layout, None, namespace.form(), namespace.spawner(layout), lambda *_: None) as fetch:
        fetch.stage(layers_of(manifest, config), ready=[layer] if layer else [])
        unpacked = {**sizes, **fetch.unpacked()}
        record = records.build(manifest_digest, manifest, config, unpacked=unpacked, keep=[manifest_digest])
        if admitted is not None:
            admitted.keep(layout, manifest_digest)
        publication.publish(layout, fetch, {image_id: config_data, manifest_digest: manifest_data}, record)
    entry = records.index_entry(record, len(manifest_data), repo_digests=[], extra={})
    index.update(layout, lambda found: index.put(found, entry, tag))
    return image_id
