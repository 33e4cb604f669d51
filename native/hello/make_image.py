"""Pack the static program hello as an OCI image layout: ``make_image.py PROGRAM PROCESSOR OUTPUT_DIRECTORY``.

The same program gives the same bytes: no time, no owner and no order is taken from the machine.
Source: image-spec 1.1 "image-layout.md".
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path

REFERENCE = "pyrun.local/hello:latest"
# CMake says what uname(2) says; the image-spec says what Go says.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def main(program: Path, processor: str, output: Path) -> None:
    """Write the layout; what was in `output` before is gone."""
    shutil.rmtree(output, ignore_errors=True)
    blobs = output / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def store(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    architecture = ARCHITECTURES.get(processor, processor)
    platform = {"architecture": architecture, "os": "linux"}
    tar = layer_tar(program.read_bytes())
    # Not compressed: it is small, and the bytes of a gzip depend on which zlib made them.
    layer = store(tar, "application/vnd.oci.image.layer.v1.tar")
    config = store(
        encode(
            platform
            | {
                "config": {
                    "Entrypoint": ["/hello"],
                    "Env": ["PATH=/"],
                    "WorkingDir": "/",
                    "Labels": {"org.opencontainers.image.title": "what a container sees of itself"},
                },
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
                "history": [{"created_by": "native/hello/make_image.py"}],
            }
        ),
        "application/vnd.oci.image.config.v1+json",
    )
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}
    described = store(encode(manifest), media_type)
    described["platform"] = platform
    described["annotations"] = {"org.opencontainers.image.ref.name": REFERENCE}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described],
    }
    (output / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))
    (output / "index.json").write_bytes(encode(index))


def layer_tar(program: bytes) -> bytes:
    """Return the one layer: /hello, and the directories that a container's mounts go to."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in (("dev", 0o755), ("etc", 0o755), ("proc", 0o555), ("sys", 0o555), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        entry = tarfile.TarInfo("hello")
        entry.mode, entry.size = 0o755, len(program)
        tar.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()


def encode(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: make_image.py PROGRAM PROCESSOR OUTPUT_DIRECTORY")
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
