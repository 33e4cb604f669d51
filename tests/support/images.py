"""Writes OCI images from a description, entry by entry, so that a test knows exactly what it unpacks.

It knows nothing of pyrun: the product must not be tested with its own code.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

from tests.support.features import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MTIME = 1_600_000_000.123456789
_MEDIA = "application/vnd.oci.image."


def entry(
    name: str,
    content: bytes | None = None,
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    link: str = "",
    xattrs: dict[str, bytes] | None = None,
    device: tuple[int, int] = (0, 0),
    mtime: float = MTIME,
) -> tuple[tarfile.TarInfo, bytes]:
    """Describe one entry of a layer; xattrs go into pax records as GNU tar and Docker write them."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime, info.linkname = kind, mode, mtime, link
    info.uid, info.gid = owner
    info.devmajor, info.devminor = device
    info.size = len(content or b"")
    info.pax_headers = {
        f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in (xattrs or {}).items()
    }
    return info, content or b""


def directory(name: str, mode: int = 0o755, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def symlink(name: str, target: str, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.SYMTYPE, mode=0o777, link=target, **more)


def hardlink(name: str, target: str, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.LNKTYPE, link=target, **more)


def layer(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return an uncompressed layer (pax)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_layout(
    path: Path,
    tag: str,
    layers: Iterable[bytes],
    config: Mapping[str, object] | None = None,
    *,
    compression: str = "gzip",
    architecture: str = "amd64",
    **more: Any,
) -> str:
    """Write an image layout with one image; return the manifest's digest.

    `compression`: gzip, zstd or none. `more`: fields of the image's configuration.
    """
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def store(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    tars = list(layers)
    suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}[compression]
    described = [store(_compress(tar, compression), f"{_MEDIA}layer.v1.tar{suffix}") for tar in tars]
    image = {
        "architecture": architecture,
        "os": "linux",
        "created": "2020-09-13T12:26:40Z",
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
        "history": [{"created": "2020-09-13T12:26:40Z", "created_by": f"layer {n}"} for n in range(len(tars))],
        **more,
    }
    manifest = store(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{_MEDIA}manifest.v1+json",
                "config": store(json.dumps(image).encode(), f"{_MEDIA}config.v1+json"),
                "layers": described,
            }
        ).encode(),
        f"{_MEDIA}manifest.v1+json",
    )
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    named = manifest | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    digest: str = manifest["digest"]
    return digest


def _compress(tar: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(tar, 1, mtime=0)  # Debian: 170 MB in 1.5 s instead of 6
    if how == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(tar)
    return tar


def push(layout: Path, tag: str, destination: str, *arguments: str) -> None:
    """Push with skopeo: another implementation's idea of the protocol. `arguments`: e.g. --format v2s2."""
    program = command("skopeo")
    assert program is not None
    subprocess.run(
        [
            *(program, "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", *arguments),
            *(f"oci:{layout}:{tag}", f"docker://{destination}"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
