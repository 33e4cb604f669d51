"""Everything that the rows need: directories, the registry's images, the engines with their images pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchlib import images, registry, tools
from benchlib.timing import CommandFailedError

_TMPFS_MAGIC = "tmpfs"


class Scene:
    """One run's surroundings; ``tmpfs`` is None where there is none for this user."""

    def __init__(self, disk: Path, tmpfs: Path | None, containers: int) -> None:
        self.disk = disk
        self.tmpfs = tmpfs
        self.containers = containers
        self.log = disk / "last.log"
        self.environment = dict(os.environ)
        self.root_file_system = disk / "rootfs"
        self.engines: list[tools.Engine] = []
        self.runtimes: list[tools.Runtime] = []
        self.left_out: dict[str, str] = {}
        self.domain = ""  # the registry
        self.busybox: images.Image
        self.debian: images.Image

    def add_engines(self, pyrun: str, only: list[str]) -> None:
        """Take pyrun and, where installed, podman; each with both images in its store."""
        programs: list[tuple[type[tools.Engine], str | None]] = [
            (tools.Pyrun, pyrun),
            (tools.Podman, tools.find("podman")),
        ]
        for kind, program in programs:
            if only and kind.name not in only:
                continue
            if program is None:
                self.left_out[kind.name] = "not installed"
                continue
            engine = kind(program, self.disk / kind.name, self.log)
            try:
                engine.pull(self.busybox.reference)
                engine.pull(self.debian.reference)
            except CommandFailedError as error:
                if kind is tools.Pyrun:
                    raise SystemExit(f"bench: {error}") from error
                self.left_out[kind.name] = str(error)
                continue
            self.engines.append(engine)

    def add_runtimes(self, only: list[str]) -> None:
        """Take crun and runc where they are installed and can run here."""
        for name in ("crun", "runc"):
            program = tools.find(name)
            if only and name not in only:
                continue
            if program is None:
                self.left_out[name] = "not installed"
                continue
            try:
                runtime = tools.Runtime(name, program, self.disk, self.root_file_system, self.log)
            except (CommandFailedError, subprocess.CalledProcessError) as error:
                self.left_out[name] = str(error)
                continue
            self.runtimes.append(runtime)


@contextlib.contextmanager
def set_up(*, pyrun: str, disk: str, containers: int, debian_tar: str, mirror: str, only: list[str]) -> Iterator[Scene]:
    """Make a scene below ``disk`` and remove all of it at the end."""
    with contextlib.ExitStack() as stack:
        here = Path(stack.enter_context(_directory(disk)))
        memory = stack.enter_context(_directory("/dev/shm")) if _is_tmpfs("/dev/shm") else None
        scene = Scene(here, Path(memory) if memory else None, containers)
        (here / "registry").mkdir()
        domain = scene.domain = stack.enter_context(registry.running(here))
        images.busybox_tar(here / "busybox.tar")
        scene.busybox = images.push(domain, "busybox", here / "busybox.tar", ["sh"])
        cached = Path(debian_tar) if debian_tar else _cache() / "debian-bookworm.tar"
        images.debian_tar(cached, mirror)
        (here / "debian.tar").symlink_to(cached)
        scene.debian = images.push(domain, "debian", here / "debian.tar", ["bash"])
        scene.root_file_system.mkdir()
        subprocess.run(["tar", "-xf", here / "busybox.tar", "-C", scene.root_file_system], check=True)
        scene.add_engines(pyrun, only)
        scene.add_runtimes(only)
        try:
            yield scene
        finally:
            for engine in scene.engines:
                engine.end()


@contextlib.contextmanager
def _directory(parent: str) -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="pyrun-bench-", dir=parent)
    try:
        yield path
    finally:
        tools.remove_tree(Path(path))


def _cache() -> Path:
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyrun-bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _is_tmpfs(path: str) -> bool:
    if not os.access(path, os.W_OK) or shutil.disk_usage(path).free < 1 << 30:
        return False
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[1] == path and fields[2] == _TMPFS_MAGIC:
            return True
    return False
