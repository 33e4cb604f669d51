"""The pre-digested image record: what `run` needs of manifest and config, written once at pull.

It must not know where an image came from. Cold: typed documents in, a plain dict out.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from pyrun.oci.config import ContainerConfig, ImageConfig, layers_of
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest
from pyrun.oci.platform import Platform
from pyrun.store import fsio, index, owner, sealed
from pyrun.store.layout import Layout

UNKNOWN_TIME = "0001-01-01T00:00:00Z"  # what docker shows of an image that does not say when it was made


def build(
    manifest_digest: str, manifest: Manifest, config: ImageConfig, *, unpacked: dict[str, int], keep: list[str]
) -> dict[str, Any]:
    """Return the record. ``unpacked``: bytes of each layer's files, by diff_id.

    ``keep``: digests beside config and layers that must live as long (original, index).

    Raises: InvalidConfigError if manifest and config do not fit together.
    """
    defaults = config.config or ContainerConfig()
    layers = layers_of(manifest, config)
    return {
        "manifest": manifest_digest,
        "image_id": manifest.config.digest,
        "platform": str(Platform.of(config)),
        "created": config.created or UNKNOWN_TIME,
        "size": sum(layer.size for layer, _ in layers),
        "unpacked_size": sum(unpacked.get(diff_id, 0) for _, diff_id in layers),
        "os": config.os,
        "architecture": config.architecture,
        "variant": config.variant or "",
        "entrypoint": defaults.entrypoint,
        "cmd": defaults.cmd,
        "env": list(defaults.env or ()),
        "workdir": defaults.working_dir or "",
        "user": defaults.user or "",
        "volumes": sorted(defaults.volumes or ()),
        "exposed_ports": sorted(defaults.exposed_ports or ()),
        "stop_signal": defaults.stop_signal or "",
        "stop_timeout": defaults.stop_timeout,
        "labels": dict(defaults.labels or {}),
        "healthcheck": msgspec.to_builtins(defaults.healthcheck) if defaults.healthcheck else None,
        "shell": defaults.shell,
        "layers": [_layer(layer, diff_id, unpacked.get(diff_id, 0)) for layer, diff_id in layers],
        "keep": keep,
    }


def _layer(layer: Descriptor, diff_id: str, unpacked: int) -> dict[str, Any]:
    return {
        "diff_id": diff_id,
        "digest": layer.digest,
        "size": layer.size,
        "unpacked": unpacked,
        "media_type": layer.media_type,
    }


def stage(layout: Layout, record: dict[str, Any]) -> str:
    """Write a record below tmp/; return the path, to be given to `publish` after the sync."""
    path = f"{layout.tmp}/{owner.token()}"
    fsio.write_new(path, sealed.seal(record))
    return path


def publish(layout: Layout, staged: str, record: dict[str, Any]) -> None:
    """Give a staged record its name. All it names must be in place: who sees the record starts containers."""
    os.rename(staged, layout.image(record["manifest"]))


def index_entry(record: dict[str, Any], size: int, *, repo_digests: list[str], extra: dict[str, str]) -> dict[str, Any]:
    """Return the record's entry for index.json; ``size`` is that of the manifest in bytes."""
    notes = {
        index.CONFIG: record["image_id"],
        index.CREATED: record["created"],
        index.SIZE: str(record["unpacked_size"]),
        index.PLATFORM: record["platform"],
        **extra,
    }
    if repo_digests:
        notes[index.REPO_DIGESTS] = " ".join(repo_digests)
    platform = {"architecture": record["architecture"], "os": record["os"]}
    if record["variant"]:
        platform["variant"] = record["variant"]
    return {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": record["manifest"],
        "size": size,
        "annotations": notes,
        "platform": platform,
    }
