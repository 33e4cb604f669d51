"""The rows: each sets the scene, takes its samples and gives a `Row`. The goals are those of the design, §8."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from benchlib import (
    memory,
    rows_archives,
    rows_check,
    rows_files,
    rows_listing,
    rows_many,
    rows_pull,
    rows_push,
    rows_removal,
    tools,
)
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command, run


def run_none(scene: Scene, samples: int) -> Row:
    row = Row("run-none", "run --rm --network none busybox true")
    words = ("run", "--rm", "--network", "none", scene.busybox.reference, "true")
    commands = {engine.name: Command(engine.argv(*words), engine.environment) for engine in scene.engines}
    for runtime in scene.runtimes:
        commands[runtime.name] = Command(runtime.run_words(), runtime.environment)
    bwrap = tools.find("bwrap")
    if bwrap:
        commands["bwrap"] = Command(tools.bubblewrap(bwrap, scene.root_file_system), scene.environment)
    row.measure(scene, commands, samples, sync=True)
    row.goals = [("podman", 1 / 5), ("crun", 2.0)]
    row.notes.append("crun, runc, bwrap: bundle or tree ready, nothing decided, nothing kept")
    return row.finish()


def run_network(scene: Scene, samples: int) -> Row:
    row = Row("run-net", "run --rm busybox true (default network)")
    words = ("run", "--rm", scene.busybox.reference, "true")
    commands = {engine.name: Command(engine.argv(*words), engine.environment) for engine in scene.engines}
    row.measure(scene, commands, samples, sync=True)
    row.goals = [("podman", 1 / 2)]
    return row.finish()


def exec_true(scene: Scene, samples: int) -> Row:
    row = Row("exec", "exec CONTAINER true")
    commands = {}
    for engine in scene.engines:
        engine.sleeper("bench-exec", scene.busybox.reference)
        commands[engine.name] = Command(engine.argv("exec", "bench-exec", "true"), engine.environment)
    for runtime in scene.runtimes:
        runtime.start("bench-exec")
        commands[runtime.name] = Command(
            runtime.argv("exec", "bench-exec", "/bin/busybox", "true"), runtime.environment
        )
    try:
        row.measure(scene, commands, samples, sync=False)
    finally:
        for engine in scene.engines:
            engine.remove(["bench-exec"])
        for runtime in scene.runtimes:
            runtime.remove("bench-exec")
    row.goals = [("podman", 1 / 6)]
    return row.finish()


def start_and_wait(scene: Scene, samples: int) -> Row:
    row = Row("start-wait", "start and wait of a created container (true)")
    commands = {}
    for engine in scene.engines:

        def create(engine: tools.Engine = engine) -> None:
            engine.call("create", "--name", "bench-start", "--network", "none", scene.busybox.reference, "true")

        def remove(engine: tools.Engine = engine) -> None:
            engine.remove(["bench-start"])

        script = " && ".join(shlex.join(engine.argv(verb, "bench-start")) for verb in ("start", "wait"))
        argv = ["sh", "-c", script]
        commands[engine.name] = Command(argv, engine.environment, prepare=create, clean=remove)
    row.measure(scene, commands, samples, sync=True)
    row.goals = [("podman", 1 / 4)]
    return row.finish()


def list_containers(scene: Scene, samples: int) -> Row:
    row = Row("ps", "ps, three containers running")
    names = [f"bench-ps{number}" for number in range(3)]
    commands = {}
    for engine in scene.engines:
        for name in names:
            engine.sleeper(name, scene.busybox.reference)
        commands[engine.name] = Command(engine.argv("ps"), engine.environment)
    try:
        row.measure(scene, commands, samples, sync=False)
    finally:
        for engine in scene.engines:
            engine.remove(names)
    row.goals = [("podman", 1 / 2)]
    return row.finish()


def logs_million(scene: Scene, samples: int) -> Row:
    row = Row("logs-million", "logs of a container that wrote 1,000,000 lines")
    script = "seq 1 1000000 | sed 's/^/This is line number /'"
    words = ("run", "--name", "bench-logs", "--network", "none", "--log-opt", "max-size=1g", scene.busybox.reference)
    commands = {}
    for engine in scene.engines:
        run(engine.argv(*words, "sh", "-c", script), engine.environment, scene.log)
        commands[engine.name] = Command(engine.argv("logs", "bench-logs"), engine.environment)
    try:
        row.measure(scene, commands, samples, sync=False)
    finally:
        for engine in scene.engines:
            engine.remove(["bench-logs"])
    row.goals = [("podman", 1 / 2)]
    return row.finish()


def stdout_throughput(scene: Scene, samples: int) -> Row:
    row = Row("stdout-throughput", "run -d and wait: 500 MB in lines of 100 bytes into the log")
    line = "0123456789" * 9 + "01234567"
    script = f"yes {line}x | head -c 20000000 >/tmp/f; i=0; while [ $i -lt 25 ]; do cat /tmp/f; i=$((i+1)); done"
    commands = {}
    for engine in scene.engines:
        start = engine.argv("run", "-d", "--name", "bench-out", "--network", "none", scene.busybox.reference)
        both = f"{shlex.join([*start, 'sh', '-c', script])} && {shlex.join(engine.argv('wait', 'bench-out'))}"
        commands[engine.name] = Command(
            ["sh", "-c", both], engine.environment, clean=lambda engine=engine: engine.remove(["bench-out"])
        )
    row.measure(scene, commands, samples, sync=True)
    row.goals = [("podman", 1.0)]
    row.notes.append("as each logs by default: pyrun json-file, rotated; podman k8s-file")
    return row.finish()


def image_size(scene: Scene, samples: int) -> Row:
    row = Row("size", "run --rm --network none IMAGE /bin/busybox true: the busybox image, the Debian image")
    commands = {}
    for engine in scene.engines:
        for name, image in (("", scene.busybox), ("-debian", scene.debian)):
            words = ("run", "--rm", "--network", "none", image.reference, "/bin/busybox", "true")
            commands[engine.name + name] = Command(engine.argv(*words), engine.environment)
    row.measure(scene, commands, max(samples, 50), sync=True)
    if row.median("pyrun") and row.median("pyrun-debian"):
        apart = abs(row.median("pyrun-debian") - row.median("pyrun"))
        row.checks.append((f"{apart:.2f} ms apart (goal 3 ms)", apart <= 3))
    return row


def memory_of_detached(scene: Scene, _samples: int) -> Row:
    row = Row("memory", f"PSS per detached container, {scene.containers} of them (network none)", unit="MB")
    names = [f"bench-memory{number}" for number in range(scene.containers)]
    for engine in scene.engines:
        started: list[str] = []
        before = memory.processes()
        try:
            for name in names:
                engine.sleeper(name, scene.busybox.reference)
                started.append(name)
            total, counts = memory.overhead(before)
        except (memory.Unreadable, OSError) as error:
            row.failures[engine.name] = str(error)
        else:
            row.results[engine.name] = {"median_ms": round(total / scene.containers / 1e6, 3)}
            row.notes.append(f"{engine.name}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}")
        finally:
            if started:
                engine.remove(started)
    if row.median("pyrun"):
        row.checks.append((f"{row.median('pyrun'):.3f} MB (goal 0.3 MB)", row.median("pyrun") <= 0.3))
    return row


ROWS: dict[str, Callable[[Scene, int], Row]] = {
    "run-none": run_none,
    "run-net": run_network,
    "exec": exec_true,
    "start-wait": start_and_wait,
    "rm-200": rows_many.remove_many,
    "ps": list_containers,
    "ps-1000": rows_many.list_thousand,
    "logs-million": logs_million,
    "stdout-throughput": stdout_throughput,
    "commit-tmpfs": rows_files.commit_memory,
    "commit-disk": rows_files.commit_disk,
    "diff": rows_files.diff_large,
    "pull-tmpfs": rows_pull.pull_memory,
    "pull-20-tmpfs": rows_pull.pull_twenty,
    "pull-again": rows_pull.pull_again,
    "pull-peak": rows_pull.pull_peak,
    "pull-disk": rows_pull.pull_disk,
    "save": rows_archives.save_docker,
    "save-oci": rows_archives.save_oci,
    "load": rows_archives.load_docker,
    "load-oci": rows_archives.load_oci,
    "push-tmpfs": rows_push.push_memory,
    "push-again": rows_push.push_again,
    "rmi-40000": rows_removal.remove_image,
    "fsck": rows_check.check_store,
    "images-500": rows_listing.list_many,
    "history": rows_listing.history,
    "image-inspect": rows_listing.inspect,
    "tag": rows_listing.tag,
    "size": image_size,
    "memory": memory_of_detached,
}
SAMPLES = {
    "run-none": 30,
    "run-net": 20,
    "exec": 30,
    "start-wait": 20,
    "rm-200": 2,
    "ps": 30,
    "ps-1000": 15,
    "logs-million": 7,
    "stdout-throughput": 5,
    "commit-tmpfs": 5,
    "commit-disk": 3,
    "diff": 10,
    "pull-tmpfs": 7,
    "pull-20-tmpfs": 7,
    "pull-again": 40,
    "pull-peak": 1,
    "pull-disk": 5,
    "save": 7,
    "save-oci": 5,
    "load": 7,
    "load-oci": 7,
    "push-tmpfs": 7,
    "push-again": 15,
    "rmi-40000": 7,
    "fsck": 5,
    "images-500": 1,
    "history": 30,
    "image-inspect": 30,
    "tag": 30,
    "size": 50,
    "memory": 1,
}
