"""The rows about many containers: how starts and lists grow with them."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence

from benchlib import tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command, CommandFailedError, interleave, run, summary

RUNNING = 1000
EXITED = (100, 1000, 10000)
_EDGE = 20  # starts around the tenth, and around the last


def remove_many(scene: Scene, samples: int) -> Row:
    row = Row("rm-200", "rm -f of 200 running containers")
    names = [f"bench-rm{number}" for number in range(200)]
    commands = {}
    for engine in scene.engines:

        def start(engine: tools.Engine = engine) -> None:
            for name in names:
                engine.sleeper(name, scene.busybox.reference)

        # Nothing asks TERM to end it: podman is told not to wait for that.
        options = ("-t", "0") if engine.name == "podman" else ()
        commands[engine.name] = Command(engine.argv("rm", "-f", *options, *names), engine.environment, prepare=start)
    try:
        row.measure(scene, commands, samples, sync=True, warm=False)
    finally:
        for engine in scene.engines:
            if engine.name in row.failures:  # perhaps it could not start all of them
                with contextlib.suppress(CommandFailedError):
                    engine.remove(names)
    row.goals = [("podman", 1 / 4)]
    return row.finish()


def list_thousand(scene: Scene, samples: int) -> Row:
    """`ps` with a thousand running; and how long the starts took, the first beside the last."""
    row = Row("ps-1000", f"ps, {RUNNING} containers running")
    names = [f"bench-many{number}" for number in range(RUNNING)]
    commands = {}
    started: list[tuple[tools.Engine, list[str]]] = []
    try:
        for engine in scene.engines:
            mine: list[str] = []
            started.append((engine, mine))
            times = _start(scene, engine, names, mine)
            first, last = (statistics.median(part) * 1000 for part in (times[:_EDGE], times[-_EDGE:]))
            row.notes.append(f"{engine.name}: starts {first:.1f} ms around the 10th, {last:.1f} ms the last {_EDGE}")
            if engine.name == "pyrun":
                row.checks.append(
                    (f"a start among {RUNNING}: {last / first:.2f} × the 10th (goal 1.2)", last <= 1.2 * first)
                )
            commands[engine.name] = Command(engine.argv("ps"), engine.environment)
        row.measure(scene, commands, samples, sync=False)
        _beside_exited(scene, row, commands["pyrun"], samples)
    finally:
        for engine, mine in started:
            engine.remove(mine)
    row.goals = [("podman", 1 / 2)]
    row.checks.append((f"{row.median('pyrun'):.1f} ms (goal 60 ms)", row.median("pyrun") <= 60))
    return row.finish()


def _start(scene: Scene, engine: tools.Engine, names: Sequence[str], started: list[str]) -> list[float]:
    times = []
    for name in names:
        argv = engine.argv("run", "-d", "--name", name, "--network", "none", scene.busybox.reference)
        started.append(name)
        times.append(run([*argv, "/bin/busybox", "sleep", tools.SLEEP], engine.environment, scene.log))
    return times


def _beside_exited(scene: Scene, row: Row, ps: Command, samples: int) -> None:
    """Make more and more containers that have ended, pyrun alone (podman needs minutes for a thousand); `ps` again."""
    engine = next(engine for engine in scene.engines if engine.name == "pyrun")
    made: list[str] = []
    try:
        for count in EXITED:
            while len(made) < count:
                made.append(f"bench-exited{len(made)}")
                engine.call("run", "--name", made[-1], "--network", "none", scene.busybox.reference, "true")
            times, row_failures = interleave(
                {"ps": ps, "ps -a": Command([*ps.argv, "-a"], ps.environment)}, samples, scene.log, sync=False
            )
            row.failures.update(row_failures)
            for name, found in times.items():
                row.results[f"{name} +{count}"] = summary(found)
    finally:
        engine.call("container", "prune", "-f")
