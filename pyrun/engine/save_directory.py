"""``save --format docker-dir``: skopeo's ``dir:``, a schema 2 manifest and its blobs under their plain digests.

It must not know names: the format has none. Source: containers-transports(5) "dir:path".
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError
from pyrun.images import archive_writer
from pyrun.layers.write import read_chunks, write_layer
from pyrun.oci import json, media_types
from pyrun.store import blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.save import Chosen
    from pyrun.images.archive_writer import DirectoryWriter
    from pyrun.store.layout import Layout

_VERSION = b"Directory Transport Version: 1.1\n"
_TO_DOCKER = {
    media_types.OCI_LAYER: media_types.DOCKER_LAYER,
    media_types.OCI_LAYER_GZIP: media_types.DOCKER_LAYER_GZIP,
    media_types.OCI_LAYER_ZSTD: media_types.DOCKER_LAYER_ZSTD,
}


def write(layout: Layout, images: list[Chosen], writer: DirectoryWriter, *, compress: bool) -> None:
    """Write one image: its schema 2 original if it has one, else one that is made of the OCI manifest.

    ``compress``: layers that are not, with gzip; the manifest is then one of its own.
    Raises: InvalidInputError for several images; StoreCorruptError.
    """
    if len(images) != 1:
        raise InvalidInputError("--format docker-dir holds one image", hint="save each to a directory of its own")
    (image,) = images
    config, layers = image.record["image_id"], image.record["layers"]
    for digest in (config, *(layer["digest"] for layer in layers)):
        archive_writer.check_blob(layout.blob(digest), digest)
    writer.document("version", _VERSION)
    writer.blob(_hex(config), layout.blob(config), config)
    described = []
    done: dict[str, dict[str, Any]] = {}
    for layer in layers:
        digest = layer["digest"]
        if digest not in done:
            done[digest] = _layer(layout, layer, writer, compress=compress)
        described.append(done[digest])
    unchanged = all(new["digest"] == old["digest"] for new, old in zip(described, layers, strict=True))
    if image.original and unchanged:
        writer.document("manifest.json", blobs.read(layout, image.original))
        return
    size = os.stat(layout.blob(config)).st_size
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": {"mediaType": media_types.DOCKER_CONFIG, "size": size, "digest": config},
        "layers": described,
    }
    writer.document("manifest.json", json.dumps(manifest).encode("ascii"))


def _layer(layout: Layout, layer: dict[str, Any], writer: DirectoryWriter, *, compress: bool) -> dict[str, Any]:
    digest, kind = layer["digest"], layer["media_type"]
    kind = _TO_DOCKER.get(kind, kind)
    if compress and kind == media_types.DOCKER_LAYER:
        return _compressed(layout, digest, writer)
    writer.blob(_hex(digest), layout.blob(digest), digest)
    return {"mediaType": kind, "size": layer["size"], "digest": digest}


def _compressed(layout: Layout, digest: str, writer: DirectoryWriter) -> dict[str, Any]:
    source = archive_writer.open_blob(layout.blob(digest), digest)
    try:
        written = writer.made(
            lambda target: write_layer(read_chunks(source), target, lambda _: None), layout.blob(digest), digest
        )  # fmt: skip
    finally:
        os.close(source)
    return {"mediaType": media_types.DOCKER_LAYER_GZIP, "size": written.blob_bytes, "digest": written.digest}


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
