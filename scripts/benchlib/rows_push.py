"""The rows of push: to a registry that has nothing of the image, and to one that has all of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from benchlib import registry, tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command


def push_memory(scene: Scene, samples: int) -> Row:
    row = Row("push-tmpfs", "push the Debian image to a registry that has nothing of it (stores and registry on tmpfs)")
    return _push(scene, samples, row, is_empty=True)


def push_again(scene: Scene, samples: int) -> Row:
    row = Row("push-again", "push the Debian image to a registry that has it")
    return _push(scene, samples, row, is_empty=False)


def _push(scene: Scene, samples: int, row: Row, *, is_empty: bool) -> Row:
    if scene.tmpfs is None:
        row.notes.append("no tmpfs here that this user can write to")
        return row
    where = scene.tmpfs / "push"
    where.mkdir()
    try:
        # Another registry than the one that the image came from: who knows where blobs are would mount them.
        with registry.running(where) as domain:

            def empty() -> None:
                tools.remove_tree(where / "registry")

            commands = _commands(scene, where, f"{domain}/pushed", empty if is_empty else None)
            row.measure(scene, commands, samples, sync=True)
    finally:
        tools.remove_tree(where)
    row.goals = [("podman", 1 / 3)]
    return row.finish()


def _commands(scene: Scene, where: Path, target: str, prepare: Callable[[], None] | None) -> dict[str, Command]:
    commands = {}
    for engine in scene.engines:
        other = type(engine)(engine.program, where / engine.name, scene.log)
        other.pull(scene.debian.reference)
        words = other.push_words(scene.debian.reference, f"{target}-{engine.name}:1")
        commands[engine.name] = Command(other.argv(*words), other.environment, prepare=prepare)
    skopeo = tools.find("skopeo")
    if skopeo:
        layout = f"oci:{where}/oci:1"
        copy = [skopeo, "copy", "-q", "--src-tls-verify=false", f"docker://{scene.debian.reference}", layout]
        subprocess.run(copy, check=True)
        argv = [skopeo, "copy", "-q", "--dest-tls-verify=false", layout, f"docker://{target}-skopeo:1"]
        commands["skopeo"] = Command(argv, scene.environment, prepare=prepare)
    return commands
