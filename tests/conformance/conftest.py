"""`same(case)`: run a case in pyrun and in podman, each with a store of its own, and fail where they differ."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import leftovers
from tests.support.command_line import CommandLine
from tests.support.conformance import Case, Podman, compare, new_podman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.catalogue import Catalogue

_VOLUMES = re.compile(r"volume|mount| -v")


@pytest.fixture(scope="session")
def engines(images: Catalogue) -> Iterator[tuple[CommandLine, Podman]]:
    leftovers.adopt_orphans()
    pyrun, podman = CommandLine(Path(tempfile.mkdtemp(prefix="pyrun-", dir="/var/tmp"))), new_podman()
    try:
        pyrun.ok("pull", "-q", images.busybox)
        pulled = podman("pull", "-q", "--tls-verify=false", images.busybox)
        assert pulled.returncode == 0, pulled.stderr
        yield pyrun, podman
    finally:
        podman.end()
        pyrun.remove_everything()


@pytest.fixture
def same(engines: tuple[CommandLine, Podman], images: Catalogue) -> Iterator[Callable[[Case], None]]:
    pyrun, podman = engines
    with_volumes = False

    def check(case: Case) -> None:
        nonlocal with_volumes
        with_volumes = with_volumes or any(_VOLUMES.search(line.text) for line in case.lines)
        faults = compare(case, pyrun, podman, images.busybox)
        if faults:
            pytest.fail("\n".join(faults), pytrace=False)

    yield check
    podman("rm", "--all", "--force", "--time", "0", "--volumes")
    names = pyrun("ps", "--all", "--quiet").stdout.split()
    if names:
        pyrun.ok("rm", "--force", "--volumes", *names)
    if not with_volumes:
        return  # a tenth of a second of podman's
    podman("volume", "rm", "--all", "--force")
    volumes = pyrun("volume", "ls", "--quiet").stdout.split()
    if volumes:
        pyrun.ok("volume", "rm", *volumes)
