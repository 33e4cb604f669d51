"""Image archives in the shapes that other tools write them, from `store_images.Image`: entry by entry, without pyrun.

Sources: moby image/spec/v1.2.md (the old shape), moby image/tarexport/save.go of docker 25 (OCI layout and
manifest.json with uncompressed layers), containerd's archive exporter (compressed blobs), containers/image
docker/internal/tarfile/writer.go (podman, skopeo).
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from typing import TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.support.store_images import Image

Members = list[tuple[str, "bytes | str"]]  # a name and a file's content, or a symlink's target
OCI = "application/vnd.oci.image."
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "xz": lambda data: lzma.compress(data, preset=0),
    "bzip2": lambda data: bz2.compress(data, 1),
}


def tar(members: Iterable[tuple[str, bytes | str]], format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            elif name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def to_directory(members: Members, path: Path) -> Path:
    for name, content in members:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.symlink_to(content)
        elif not name.endswith("/"):
            target.write_bytes(content)
    return path


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest_json(*entries: tuple[str, list[str] | None, list[str]]) -> tuple[str, bytes]:
    keys = ("Config", "RepoTags", "Layers")
    return "manifest.json", json.dumps([dict(zip(keys, entry, strict=True)) for entry in entries]).encode()


def docker_old(*images: tuple[Image, list[str]]) -> Members:
    """docker before 25: a directory a layer; one that an earlier image has is a symlink to it."""
    members: Members = []
    entries: list[tuple[str, list[str] | None, list[str]]] = []
    first: dict[bytes, str] = {}
    for number, (image, tags) in enumerate(images):
        names = []
        for layer in image.tars:
            name = f"{hex_of(layer + bytes([number]))}/layer.tar"
            directory = name.partition("/")[0]
            members += [(f"{directory}/", b""), (f"{directory}/VERSION", b"1.0"), (f"{directory}/json", b"{}")]
            members.append((name, f"../{first[layer]}" if layer in first else layer))
            first.setdefault(layer, name)
            names.append(name)
        config = f"{hex_of(image.config)}.json"
        members.append((config, image.config))
        entries.append((config, tags or None, names))
    return [*members, manifest_json(*entries), ("repositories", b"{}")]


def podman(*images: tuple[Image, list[str]]) -> Members:
    """podman and skopeo: layers under their diff_ids, with symlinks from where the old shape has them."""
    members: Members = []
    entries: list[tuple[str, list[str] | None, list[str]]] = []
    for image, tags in images:
        for layer in image.tars:
            name = f"{hex_of(layer)}.tar"
            if (name, layer) not in members:
                members += [(name, layer), (f"{hex_of(layer + b'v1')}/layer.tar", f"../{name}")]
        config = f"{hex_of(image.config)}.json"
        members.append((config, image.config))
        entries.append((config, tags or None, [f"{hex_of(layer)}.tar" for layer in image.tars]))
    return [*members, manifest_json(*entries)]


def layout(*images: tuple[Image, list[str]], packed: bool = True, docker: bool = False) -> Members:
    """An OCI layout: containerd's and podman's (``packed``), docker 25's (not), with its manifest.json (``docker``)."""
    blobs: dict[str, bytes] = {}

    def blob(kind: str, data: bytes) -> dict[str, Any]:
        blobs[hex_of(data)] = data
        return {"mediaType": OCI + kind, "digest": f"sha256:{hex_of(data)}", "size": len(data)}

    index, entries = [], []
    for image, tags in images:
        layers = image.layers if packed else list(image.tars)
        kind = "layer.v1.tar+gzip" if packed else "layer.v1.tar"
        described = [blob(kind, layer) for layer in layers]
        document = {"schemaVersion": 2, "mediaType": f"{OCI}manifest.v1+json",
                    "config": blob("config.v1+json", image.config), "layers": described}  # fmt: skip
        entry = blob("manifest.v1+json", json.dumps(document).encode())
        for tag in tags:
            notes = {"org.opencontainers.image.ref.name": tag.rpartition(":")[2] if docker else tag}
            notes |= {"io.containerd.image.name": tag} if docker else {}
            index.append({**entry, "annotations": notes})
        if not tags:
            index.append(entry)
        names = [f"blobs/sha256/{hex_of(layer)}" for layer in layers]
        entries.append((f"blobs/sha256/{hex_of(image.config)}", tags or None, names))
    members: Members = [("blobs/", b""), ("blobs/sha256/", b"")]
    members += [(f"blobs/sha256/{name}", data) for name, data in sorted(blobs.items())]
    members.append(("index.json", json.dumps({"schemaVersion": 2, "manifests": index}).encode()))
    if docker:
        members.append(manifest_json(*entries))
    members.append(("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'))
    return members


def skopeo_directory(image: Image) -> Members:
    """skopeo's dir: with a schema 2 manifest."""
    blobs: Members = [(hex_of(data), data) for data in (image.config, *image.layers)]
    return [("version", b"Directory Transport Version: 1.1\n"), ("manifest.json", schema_2(image)), *blobs]


def schema_2(image: Image) -> bytes:
    kind = "application/vnd.docker."
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}distribution.manifest.v2+json",
            "config": {**image.manifest["config"], "mediaType": f"{kind}container.image.v1+json"},
            "layers": [
                {**layer, "mediaType": f"{kind}image.rootfs.diff.tar.gzip"} for layer in image.manifest["layers"]
            ],
        },
        indent=3,
    ).encode()
