"""Rows of archives: the Debian image to a file and back, each engine in a store of its own, all of it on tmpfs."""

from __future__ import annotations

import os
from pathlib import Path

from benchlib import tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command

DOCKER, OCI = "docker-archive", "oci-archive"


def save_docker(scene: Scene, samples: int) -> Row:
    return _save(scene, samples, "save", DOCKER)


def save_oci(scene: Scene, samples: int) -> Row:
    return _save(scene, samples, "save-oci", OCI)


def load_docker(scene: Scene, samples: int) -> Row:
    return _load(scene, samples, "load", DOCKER)


def load_oci(scene: Scene, samples: int) -> Row:
    return _load(scene, samples, "load-oci", OCI)


def _save(scene: Scene, samples: int, name: str, format: str) -> Row:
    row = Row(name, f"save the Debian image as {format} (tmpfs)")
    place = _place(scene, row)
    if place is None:
        return row
    try:
        commands = {}
        for engine in _engines(scene, place):
            engine.pull(scene.debian.reference)
            target = place / f"{engine.name}.tar"
            words = ("save", "--format", format, "-o", str(target), scene.debian.reference)
            commands[engine.name] = Command(
                engine.argv(*words), engine.environment, clean=lambda target=target: target.unlink(missing_ok=True)
            )
        row.measure(scene, commands, samples, sync=True)
    finally:
        _end(scene, place)
    row.notes.append("pyrun writes the layers as they were pulled and verifies them; podman packs oci-archive's anew")
    row.goals = [("podman", 1 / 3)]
    return row.finish()


def _load(scene: Scene, samples: int, name: str, format: str) -> Row:
    row = Row(name, f"load the Debian image from {format} into an empty store (tmpfs)")
    place = _place(scene, row)
    if place is None:
        return row
    archive = place / "archive.tar"
    writer = next((engine for engine in scene.engines if engine.name == "podman"), scene.engines[0])
    writer.call("save", "--format", format, "-o", str(archive), scene.debian.reference)
    try:
        commands = {}
        for engine in _engines(scene, place):
            store = place / engine.name

            def remove(store: Path = store) -> None:
                tools.remove_tree(store)

            argv = engine.argv("load", "-q", "-i", str(archive))
            commands[engine.name] = Command(argv, engine.environment, prepare=remove, clean=remove)
        row.measure(scene, commands, samples, sync=True)
    finally:
        _end(scene, place)
    row.notes.append(f"the archive is one that {writer.name} has written")
    row.goals = [("podman", 1 / 3)]
    return row.finish()


def _place(scene: Scene, row: Row) -> Path | None:
    if scene.tmpfs is None:
        row.notes.append("no tmpfs here that this user can write to")
        return None
    place = scene.tmpfs / "archives"
    place.mkdir()
    return place


def _engines(scene: Scene, place: Path) -> list[tools.Engine]:
    """Return each engine again, with a store on tmpfs."""
    return [type(engine)(engine.program, place / engine.name, scene.log) for engine in scene.engines]


def _end(scene: Scene, place: Path) -> None:
    for engine in _engines(scene, place):
        if os.path.isdir(place / engine.name):
            engine.end()
    tools.remove_tree(place)
