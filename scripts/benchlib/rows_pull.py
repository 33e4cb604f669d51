"""The rows of pulls. Each engine's store is empty each time, but for the second pull."""

from __future__ import annotations

import io
import random
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path

from benchlib import images, memory, tools
from benchlib.row import Row
from benchlib.scene import Scene
from benchlib.timing import Command, CommandFailedError

LAYERS, FILES = 20, 2000


def pull_memory(scene: Scene, samples: int) -> Row:
    return _pull(scene, samples, "pull-tmpfs", scene.tmpfs, scene.debian, "the Debian image")


def pull_disk(scene: Scene, samples: int) -> Row:
    return _pull(scene, samples, "pull-disk", scene.disk, scene.debian, "the Debian image")


def pull_twenty(scene: Scene, samples: int) -> Row:
    image = images.push_layers(scene.domain, "twenty", [_layer(number) for number in range(LAYERS)])
    title = f"an image of {LAYERS} layers and {LAYERS * FILES:,} files"
    return _pull(scene, samples, "pull-20-tmpfs", scene.tmpfs, image, title, goal=1 / 4)


def pull_again(scene: Scene, samples: int) -> Row:
    row = Row("pull-again", "pull the Debian image, which has not moved")
    commands = {}
    for engine in scene.engines:
        commands[engine.name] = Command(engine.argv(*engine.pull_words(scene.debian.reference)), engine.environment)
    row.measure(scene, commands, samples, sync=False)
    row.goals = [("podman", 1 / 5)]
    return row.finish()


def pull_peak(scene: Scene, _samples: int) -> Row:
    row = Row(
        "pull-peak", "peak memory of a pull, all its processes: Debian, a gigabyte of zeros, 20 layers", unit="MB"
    )
    zeros = images.push_layers(scene.domain, "zeros", [_zeros()])
    twenty = images.push_layers(scene.domain, "twenty", [_layer(number) for number in range(LAYERS)])
    where = (scene.tmpfs or scene.disk) / "pull"
    for engine in scene.engines:
        for name, image in (("", scene.debian), ("-zeros", zeros), ("-20", twenty)):
            other = type(engine)(engine.program, where / engine.name, scene.log)
            where.mkdir(exist_ok=True)
            try:
                peak = memory.peak(other.argv(*other.pull_words(image.reference)), other.environment, scene.log)
                row.results[engine.name + name] = {"median_ms": round(peak / 1e6, 1)}
            except CommandFailedError as error:
                row.failures[engine.name + name] = str(error)
            finally:
                tools.remove_tree(where)
    for name in ("pyrun", "pyrun-zeros", "pyrun-20"):
        row.checks.append((f"{name}: {row.median(name):.0f} MB (goal 120 MB)", 0 < row.median(name) <= 120))
    return row


def _pull(
    scene: Scene, samples: int, name: str, place: Path | None, image: images.Image, title: str, *, goal: float = 1 / 3
) -> Row:
    row = Row(name, f"pull {title} into an empty store ({name.rpartition('-')[2]})")
    if place is None:
        row.notes.append("no tmpfs here that this user can write to")
        return row
    where = place / "pull"

    def remove() -> None:
        tools.remove_tree(where)

    def empty() -> None:
        remove()
        where.mkdir()

    reference = image.reference
    commands = {}
    for engine in scene.engines:
        other = type(engine)(engine.program, where / engine.name, scene.log)
        argv = other.argv(*other.pull_words(reference))
        commands[engine.name] = Command(argv, other.environment, prepare=empty, clean=remove)
    _pull_others(scene, image, where, commands, empty, remove)
    row.measure(scene, commands, samples, sync=True)
    if name == "pull-disk":  # disks throttle: the figure is for reading, not for judging
        row.notes += [
            f"{engine}: {_written(commands[engine], scene.log) / 1e6:.0f} MB written" for engine in row.results
        ]
        return row
    row.goals = [("podman", goal)]
    row.finish()
    floor = row.median("igzip|tar")
    if floor and row.median("pyrun"):
        rate = floor / row.median("pyrun")
        row.checks.append((f"{rate:.0%} of the rate of igzip -dc | tar x (goal 70%)", rate >= 0.7))
    return row


def _pull_others(
    scene: Scene,
    image: images.Image,
    where: Path,
    commands: dict[str, Command],
    empty: Callable[[], None],
    remove: Callable[[], None],
) -> None:
    if tools.find("skopeo") and tools.find("umoci"):
        copy = f"skopeo copy -q --src-tls-verify=false docker://{image.reference} oci:{where}/oci:1"
        script = f"{copy} && umoci unpack --rootless --image {where}/oci:1 {where}/bundle"
        commands["skopeo+umoci"] = Command(["sh", "-c", script], scene.environment, prepare=empty, clean=remove)
    unpack = f"tar -x -C {where} --no-same-owner --exclude './dev/*'"
    if image.layer is None:
        return
    layer = shlex.quote(str(image.layer))
    if tools.find("igzip"):
        argv = ["sh", "-c", f"igzip -dc {layer} | {unpack}"]
        commands["igzip|tar"] = Command(argv, scene.environment, prepare=empty, clean=remove)
    commands["gzip|tar"] = Command(
        ["sh", "-c", f"gzip -dc {layer} | {unpack}"], scene.environment, prepare=empty, clean=remove
    )


def _written(command: Command, log: Path) -> int:
    """Return the bytes that a sample brings to the disk: proc(5) `/proc/PID/io`; those of the dead go to who reaps."""

    def count() -> int:
        return int(Path("/proc/self/io").read_text().partition("\nwrite_bytes: ")[2].split()[0])

    before = count()
    command.sample(log, sync=True)
    return count() - before


def _layer(number: int) -> bytes:
    """Write a tar of files as a distribution has them: many small ones, in directories of a hundred."""
    bytes_of, stream = random.Random(number), io.BytesIO()
    words = [bytes_of.randbytes(9).hex().encode() for _ in range(500)]
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in range(FILES):
            info = tarfile.TarInfo(f"usr/share/l{number}/d{file // 100}/f{file}")
            data = b" ".join(bytes_of.choices(words, k=bytes_of.randrange(20, 400)))
            info.size, info.mode, info.mtime = len(data), 0o644, 1_600_000_000
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _zeros() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 1 << 30
        with open("/dev/zero", "rb") as zeros:
            tar.addfile(info, zeros)
    return stream.getvalue()
