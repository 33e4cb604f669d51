"""`box`: the command line with a small image pulled; `shared_box`: one for a whole module."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import leftovers
from tests.support.boxes import Box
from tests.support.command_line import CommandLine
from tests.support.killing import INSTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.catalogue import Catalogue


@pytest.fixture(scope="session")
def pulled(images: Catalogue) -> Iterator[CommandLine]:
    """A store with the small image and the compiled filter, from which others are copied; nothing has run in it."""
    leftovers.adopt_orphans()
    before = leftovers.Before()
    command, other = (CommandLine(Path(tempfile.mkdtemp(prefix="pyrun-", dir="/var/tmp"))) for _ in range(2))
    command.ok("pull", "-q", images.busybox)
    other.take_store_of(command)
    other.ok("run", "--rm", "--network", "none", images.busybox, "true")
    shutil.copytree(other.root / "cache", command.root / "cache", dirs_exist_ok=True)
    assert not before.leftovers(other.root, other.runtime)
    other.remove_everything()
    yield command
    removed = command.remove_everything()
    assert removed.returncode == 0, removed.stderr.decode(errors="replace")


@pytest.fixture
def box(pyrun: CommandLine, pulled: CommandLine, images: Catalogue) -> Box:
    pyrun.take_store_of(pulled)
    return Box(pyrun, images.busybox)


@pytest.fixture(scope="module")
def shared_box(images: Catalogue, pulled: CommandLine) -> Iterator[Box]:
    """One store for a module's small questions that leave nothing to be seen by the next."""
    leftovers.adopt_orphans()
    before = leftovers.Before()
    command = CommandLine(Path(tempfile.mkdtemp(prefix="pyrun-", dir="/var/tmp")))
    command.take_store_of(pulled)
    yield Box(command, images.busybox)
    left = before.leftovers(command.root, command.runtime)
    removed = command.remove_everything()
    assert not left, "left behind:\n" + "\n".join(left)
    assert removed.returncode == 0, removed.stderr.decode(errors="replace")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if INSTANTS:
        terminalreporter.write_line(f"SIGKILL at {len(INSTANTS)} distinct instants")
