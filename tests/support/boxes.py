"""Containers of a small image, for tests of what a container is: one line a question."""

from __future__ import annotations

import json
import os
import select
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tests.support import images
from tests.support.catalogue import busybox_layer, host_architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.command_line import CommandLine


class Box:
    """A command line and an image; `box.sh("id", "-u", "5")` is what a shell said in a fresh container."""

    def __init__(self, pyrun: CommandLine, image: str) -> None:
        self.pyrun = pyrun
        self.image = image

    def sh(self, script: str, *options: str, input: str | None = None, **environment: str) -> str:
        """Run a shell script in a --rm container without a network."""
        return self.run(*options, command=("sh", "-c", script), input=input, **environment)

    def run(
        self,
        *options: str,
        command: tuple[str, ...] = (),
        image: str = "",
        input: str | None = None,
        **environment: str,
    ) -> str:
        """Run a command in a --rm container without a network."""
        stdin = ("-i",) if input is not None else ()
        argv = ("run", "--rm", "--network", "none", *stdin, *options, image or self.image, *command)
        return self.pyrun.ok(*argv, input=input, environment=environment)

    def fails(self, code: int, *options: str, command: tuple[str, ...] = ("true",)) -> str:
        """Run a --rm container that must fail with `code`; return its standard error."""
        return self.pyrun.fails(code, "run", "--rm", "--network", "none", *options, self.image, *command)

    def start(self, name: str, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> str:
        """Start a detached container; return its id."""
        return self.pyrun.ok("run", "-d", "--network", "none", "--name", name, *options, self.image, *command)

    def exec_end(self, name: str, file: str) -> None:
        """Make the file that its container waits for to end: which may end the exec too, before it has."""
        done = self.pyrun("exec", name, "touch", file)
        assert done.returncode in (0, 137), done.stderr

    def inspect(self, name: str) -> Any:
        """Return the container's inspect object."""
        return json.loads(self.pyrun.ok("inspect", name))[0]

    def status(self, name: str) -> str:
        return self.pyrun.ok("inspect", "--format", "{{.State.Status}}", name)

    def names(self, *options: str) -> list[str]:
        """Return the names that `ps` lists."""
        return self.pyrun.ok("ps", "--format", "{{.Names}}", *options).split()


def push(
    registry: str, work: Path, name: str, config: Mapping[str, object], *more_layers: bytes, **options: Any
) -> str:
    """Push busybox with a config (and layers) of a test's own; return its reference."""
    layers = [busybox_layer(), *more_layers]
    return push_layers(registry, work, name, layers, config, **options)


def push_layers(
    registry: str, work: Path, name: str, layers: list[bytes], config: Mapping[str, object], **options: Any
) -> str:
    """Push an image of exactly these layers."""
    layout = work / f"layout-{name}"
    images.write_layout(layout, "1", layers, config, **{"architecture": host_architecture(), **options})
    images.push(layout, "1", f"{registry}/{name}:1")
    return f"{registry}/{name}:1"


def wait_pid(pid: int, seconds: float = 30) -> None:
    """Wait until a process has ended; it may be anybody's."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], seconds)[0], f"process {pid} goes on"
    finally:
        os.close(fd)


@contextmanager
def following(pyrun: CommandLine, name: str) -> Iterator[Iterator[str]]:
    """Give the lines of `logs -f` as they come."""
    import subprocess

    process = pyrun.popen("logs", "-f", name, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with closing(process.stdout):
        yield (line.decode().rstrip("\n") for line in process.stdout)
    process.kill()
    process.wait()
