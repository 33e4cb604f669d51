"""The rows about a container's own files: commit and diff of a large upper directory."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from benchlib import tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command, CommandFailedError

FILES, MEGABYTES = 20_000, 300


def commit_memory(scene: Scene, samples: int) -> Row:
    return _commit(scene, samples, "commit-tmpfs", scene.tmpfs)


def commit_disk(scene: Scene, samples: int) -> Row:
    return _commit(scene, samples, "commit-disk", scene.disk)


def _commit(scene: Scene, samples: int, name: str, place: Path | None) -> Row:
    row = Row(name, f"commit of {FILES} files of {MEGABYTES} MB ({name.partition('-')[2]})")
    if place is None:
        row.notes.append("no tmpfs here that this user can write to")
        return row
    with _filled(scene, place) as engines:
        commands = {}
        for engine in engines:

            def change(engine: tools.Engine = engine) -> None:
                # Else the layer is there already. Nothing is removed between samples: ext4 passes over the numbers of
                # inodes that were freed a moment ago, one by one.
                engine.call(
                    "exec", "bench-files", "sh", "-c", "date +%s >/data/changed; cat /proc/uptime >>/data/changed"
                )

            words = ("commit", "bench-files", "bench-commit")
            commands[engine.name] = Command(engine.argv(*words), engine.environment, prepare=change)
        row.measure(scene, commands, samples, sync=True)
    row.notes.append("pyrun compresses and syncs the layer; podman does neither")
    if name == "commit-tmpfs":  # disks throttle: the figure is for reading, not for judging
        row.goals = [("podman", 1 / 2)]
    return row.finish()


def diff_large(scene: Scene, samples: int) -> Row:
    row = Row("diff", f"diff of {FILES} files")
    with _filled(scene, scene.disk) as engines:
        commands = {e.name: Command(e.argv("diff", "bench-files"), e.environment) for e in engines}
        row.measure(scene, commands, samples, sync=False)
    row.goals = [("podman", 1 / 2)]
    return row.finish()


@contextlib.contextmanager
def _filled(scene: Scene, place: Path) -> Iterator[list[tools.Engine]]:
    """Give the engines stores of their own below ``place``, in each a running container that has written its files."""
    where = place / "files"
    where.mkdir()
    _make_tree(where / "data")
    engines = [type(engine)(engine.program, where / engine.name, scene.log) for engine in scene.engines]
    try:
        for engine in engines:
            engine.pull(scene.busybox.reference)
            engine.sleeper("bench-files", scene.busybox.reference)
            engine.call("cp", str(where / "data"), "bench-files:/")
        yield engines
    finally:
        for engine in engines:
            with contextlib.suppress(CommandFailedError):
                engine.remove(["bench-files"])
            engine.end()
        tools.remove_tree(where)


def _make_tree(root: Path) -> None:
    """Files of all sizes; half of their bytes can be compressed."""
    chance = random.Random(3)
    text = b"some words that compress well, as those of a program do\n" * 4000
    for number in range(FILES):
        path = root / f"d{number // 200}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = min(int(chance.expovariate(FILES / (MEGABYTES * 500_000))), 200_000)
        path.write_bytes(chance.randbytes(size) + text[:size])
