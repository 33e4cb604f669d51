"""The rows of what is told of images: a list of 500, history, inspect, tag. Nothing but the answer is timed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command

IMAGES = 500


def list_many(scene: Scene, samples: int) -> Row:
    """`images` in stores of their own, which hold 500 images of one layer."""
    row = Row("images-500", f"images, {IMAGES} images")
    archive, layer = scene.disk / "images-500.tar", scene.disk / "images-500-layer.tar"
    _write_archive(archive, layer)
    commands = {}
    try:
        for engine in scene.engines:
            engine.set_store(scene.disk / f"i-{engine.name}")  # podman: a runroot of 50 characters at most
            engine.fill(archive, layer, IMAGES)
            commands[engine.name] = Command(engine.argv("images"), dict(engine.environment))
    finally:
        for engine in scene.engines:
            engine.set_store(scene.disk / engine.name)
    row.measure(scene, commands, samples, sync=False, warm=False)
    row.notes.append("one sample, nothing warm: podman 4.3 takes a minute")
    row.goals = [("podman", 1 / 3)]
    return row.finish()


def history(scene: Scene, samples: int) -> Row:
    return _one(scene, samples, Row("history", "history of an image"), "history")


def inspect(scene: Scene, samples: int) -> Row:
    return _one(scene, samples, Row("image-inspect", "image inspect"), "image", "inspect")


def tag(scene: Scene, samples: int) -> Row:
    row = Row("tag", "tag an image")
    commands = {
        engine.name: Command(engine.argv("tag", scene.busybox.reference, "localhost/bench-tag:1"), engine.environment)
        for engine in scene.engines
    }
    row.measure(scene, commands, samples, sync=True)
    row.goals = [("podman", 1 / 3)]
    return row.finish()


def _one(scene: Scene, samples: int, row: Row, *words: str) -> Row:
    commands = {
        engine.name: Command(engine.argv(*words, scene.debian.reference), engine.environment)
        for engine in scene.engines
    }
    row.measure(scene, commands, samples, sync=False)
    row.goals = [("podman", 1 / 3)]
    return row.finish()


def _write_archive(path: Path, layer_path: Path) -> None:
    """Write a docker-archive of images that differ in a label alone, and their layer."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as layer:
        info = tarfile.TarInfo("file")
        info.size = 4
        layer.addfile(info, io.BytesIO(b"text"))
    data = stream.getvalue()
    layer_path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    manifest = []
    with tarfile.open(path, "w") as tar:
        _add(tar, f"{digest}.tar", data)
        for number in range(IMAGES):
            config = {
                "architecture": "amd64", "os": "linux", "created": f"2024-01-01T00:{number // 60:02}:{number % 60:02}Z",
                "config": {"Labels": {"number": str(number)}},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }  # fmt: skip
            text = json.dumps(config).encode()
            name = hashlib.sha256(text).hexdigest() + ".json"
            _add(tar, name, text)
            manifest.append({"Config": name, "RepoTags": [f"localhost/many:{number}"], "Layers": [f"{digest}.tar"]})
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
