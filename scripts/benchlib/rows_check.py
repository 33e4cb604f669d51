"""The row of fsck: a whole store on tmpfs, read and compared. Podman knows `system check` since 5.1 only."""

from __future__ import annotations

import shlex

from benchlib import tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command, CommandFailedError, run


def check_store(scene: Scene, samples: int) -> Row:
    row = Row("fsck", "fsck of a store with the Debian image: its blob and each of its files (tmpfs)")
    if scene.tmpfs is None:
        row.notes.append("no tmpfs here that this user can write to")
        return row
    place = scene.tmpfs / "fsck"
    place.mkdir()
    words = {"pyrun": ("fsck",), "podman": ("system", "check")}
    others = [type(engine)(engine.program, place / engine.name, scene.log) for engine in scene.engines]
    commands = {}
    try:
        for engine in others:
            if engine.name not in words:
                continue
            try:
                engine.call(*words[engine.name], "--help")
            except CommandFailedError:
                row.notes.append(f"this {engine.name} has no {' '.join(words[engine.name])}")
                continue
            engine.pull(scene.debian.reference)
            commands[engine.name] = Command(engine.argv(*words[engine.name]), engine.environment)
        layer = scene.debian.layer
        size = layer.stat().st_size if layer is not None else 0
        if layer is not None and tools.find("igzip"):
            script = f"cd {place} && mkdir -p tree && igzip -dc {shlex.quote(str(layer))} | tar -x --no-same-owner"
            script += " -C tree --exclude './dev/*'"
            run(["sh", "-c", script], scene.environment, scene.log)
            # It cannot be right about owners, and says so; what it reads and compares is the same.
            compare = f"igzip -dc {shlex.quote(str(layer))} | tar -d -C {place}/tree >/dev/null 2>&1 || true"
            commands["igzip|tar -d"] = Command(["sh", "-c", compare], scene.environment)
        row.measure(scene, commands, samples, sync=False)
    finally:
        for engine in others:
            engine.end()
        tools.remove_tree(place)
    if row.median("pyrun"):
        row.notes.append(f"pyrun: {size / 1e3 / row.median('pyrun'):.0f} MB/s of the packed layer")
    return row.finish()
