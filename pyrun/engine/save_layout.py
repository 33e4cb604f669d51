"""The layout of `save`: an OCI layout whose blobs are the store's; for docker, manifest.json and repositories beside.

It must not know how images are chosen.
"""

from __future__ import annotations

from pyrun.images import archive_writer
from pyrun.images.archive_images import CONTAINERD_NAME
from pyrun.oci import json
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.save import Chosen
    from pyrun.images.archive_writer import Writer
    from pyrun.store.layout import Layout


def write(layout: Layout, images: list[Chosen], writer: Writer, *, is_docker: bool) -> None:
    """Documents first: who reads a pipe knows then what the blobs are."""
    digests = {digest for image in images for digest in image.digests()}
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
