"""The row of an image's removal: many files, one layer, each engine in a store of its own on tmpfs."""

from __future__ import annotations

from benchlib import images, tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command

DIRECTORIES, FILES_IN_EACH = 400, 100


def remove_image(scene: Scene, samples: int) -> Row:
    row = Row("rmi-40000", f"rmi of an image of {DIRECTORIES * FILES_IN_EACH:,} files (tmpfs)")
    if scene.tmpfs is None:
        row.notes.append("no tmpfs here that this user can write to")
        return row
    tar = scene.disk / "many.tar"
    images.many_files_tar(tar, DIRECTORIES, FILES_IN_EACH)
    domain = scene.busybox.reference.partition("/")[0]
    reference = images.push(domain, "many", tar, ["sh"]).reference
    place = scene.tmpfs / "rmi"
    place.mkdir()
    others = [type(engine)(engine.program, place / engine.name, scene.log) for engine in scene.engines]
    try:
        commands = {}
        for engine in others:

            def bring(engine: tools.Engine = engine) -> None:
                engine.pull(reference)

            commands[engine.name] = Command(engine.argv("rmi", reference), engine.environment, prepare=bring)
        row.measure(scene, commands, samples, sync=True)
    finally:
        for engine in others:
            engine.end()
        tools.remove_tree(place)
    row.goals = [("podman", 1 / 2)]
    row.notes.append("the files are gone when the command ends")
    return row.finish()
