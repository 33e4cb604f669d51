"""The images that are timed: busybox, and a Debian base of mmdebstrap with the same busybox in it.

They are written and pushed by hand, so that no competitor has seen them before.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BUSYBOX = "/bin/busybox"
_PASSWD = "root:x:0:0:root:/root:/bin/sh\n"
_GROUP = "root:x:0:\n"
_EPOCH = 1_600_000_000


class Image:
    """A pushed image: its reference, and, if it has one layer, that as a file."""

    def __init__(self, reference: str, layer: Path | None) -> None:
        self.reference = reference
        self.layer = layer


def busybox_tar(target: Path) -> None:
    """Write a root file system of the static busybox and a link for each of its applets."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("bin", "etc", "root", "tmp", "proc", "sys", "dev"):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755, _EPOCH
            tar.addfile(info)
        _add_file(tar, "bin/busybox", Path(BUSYBOX).read_bytes(), 0o755)
        _add_file(tar, "etc/passwd", _PASSWD.encode(), 0o644)
        _add_file(tar, "etc/group", _GROUP.encode(), 0o644)
        for name in applets:
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname, info.mtime = tarfile.SYMTYPE, "busybox", _EPOCH
            if name != "busybox":
                tar.addfile(info)


def many_files_tar(target: Path, directories: int, files: int) -> None:
    """Write many small files, a number of them in each directory."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for directory in range(directories):
            info = tarfile.TarInfo(f"usr/{directory}")
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, _EPOCH
            tar.addfile(info)
            for file in range(files):
                _add_file(tar, f"usr/{directory}/{file}", f"{directory} {file}\n".encode() * (1 + file), 0o644)


def debian_tar(target: Path, mirror: str) -> None:
    """Write a Debian base with the same static busybox in it. Made once: a file that is there is kept."""
    if not target.exists():
        building = target.with_suffix(".tmp")
        building.unlink(missing_ok=True)
        mode = "root" if os.geteuid() == 0 else "unshare"
        argv = ["mmdebstrap", "--quiet", f"--mode={mode}", "--variant=minbase", "--format=tar", "bookworm", "-"]
        # mmdebstrap's helper user must be able to enter its working directory.
        environment = {**os.environ, "TMPDIR": "/var/tmp"}
        with building.open("wb") as out:
            subprocess.run([*argv, mirror] if mirror else argv, stdout=out, check=True, env=environment, cwd="/")
        with tarfile.open(building, "a", format=tarfile.PAX_FORMAT) as tar:
            # Debian's /bin is a symlink: a file below it is written where it leads to.
            _add_file(tar, "./usr/bin/busybox", Path(BUSYBOX).read_bytes(), 0o755)
        building.rename(target)


def push(registry: str, name: str, tar: Path, command: list[str]) -> Image:
    """Push a one-layer image, gzip-compressed as every registry has them; the layer stays beside ``tar``."""
    layer = tar.with_suffix(".tar.gz")
    diff = hashlib.sha256()
    with tar.open("rb") as source, gzip.GzipFile(layer, "wb", compresslevel=6, mtime=0) as out:
        while chunk := source.read(1 << 20):
            diff.update(chunk)
            out.write(chunk)
    return Image(_push(registry, name, [layer.read_bytes()], [diff.hexdigest()], command), layer)


def push_layers(registry: str, name: str, tars: list[bytes]) -> Image:
    """Push an image of several layers, lowest first."""
    blobs = [gzip.compress(tar, 6, mtime=0) for tar in tars]
    return Image(_push(registry, name, blobs, [hashlib.sha256(tar).hexdigest() for tar in tars], ["true"]), None)


def _push(registry: str, name: str, blobs: list[bytes], diffs: list[str], command: list[str]) -> str:
    config = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {"Cmd": command, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}" for diff in diffs]},
            "history": [{"created_by": "scripts/bench"}] * len(blobs),
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob) for blob in blobs],
        }
    ).encode()
    connection = http.client.HTTPConnection(registry)
    for data in (config, *blobs):
        _upload(connection, name, data)
    connection.request("PUT", f"/v2/{name}/manifests/1", manifest, {"Content-Type": MANIFEST})
    _expect(connection, 201)
    connection.close()
    return f"{registry}/{name}:1"


def _add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), mode, _EPOCH
    tar.addfile(info, io.BytesIO(data))


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def _upload(connection: http.client.HTTPConnection, name: str, data: bytes) -> None:
    connection.request("POST", f"/v2/{name}/blobs/uploads/")
    location = _expect(connection, 202).partition("://")[2].partition("/")[2]
    separator = "&" if "?" in location else "?"
    digest = hashlib.sha256(data).hexdigest()
    connection.request("PUT", f"/{location}{separator}digest=sha256:{digest}", data)
    _expect(connection, 201)


def _expect(connection: http.client.HTTPConnection, status: int) -> str:
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != status:
        raise RuntimeError(f"registry: {answer.status} {answer.reason}: {body[:300]!r}")
    return answer.getheader("Location", "")
