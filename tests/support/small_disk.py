"""A command line whose store is on a file system of a few megabytes, that a test fills to the last byte and inode.

The store is a tmpfs in a mount namespace of its own; the commands are run in there, as the root of a user namespace
with all the ids that its user has.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import faults
from tests.support.command_line import CommandLine
from tests.support.features import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# Room for a small image and some containers; few inodes, as each is a file that `fill` makes.
_OPTIONS = "size=8m,nr_inodes=900,mode=700"


class SmallDisk(CommandLine):
    """As CommandLine; `disk` is where the test sees what the commands see as `root`."""

    def __init__(self, directory: Path, holder: int) -> None:
        super().__init__(directory)
        self.disk = Path(f"/proc/{holder}/root{self.root}")
        self._out = directory / "faults.json"
        self.environment["PYTHONPATH"] = str(ROOT)
        self._enter = ["nsenter", "--target", str(holder), "--user", "--mount", f"--wd={self.home}", "--"]
        self.program = [*self._enter, *self.program]

    def fill(self, *, leave: int = 0) -> None:
        faults.fill(str(self.disk), leave=leave)

    def free(self) -> None:
        faults.free(str(self.disk))

    def step(self, when: int, fault: str, *argv: str) -> tuple[dict[str, Any], str]:
        """Run a command under tests/support/faults.py; return what that says, and standard error."""
        command = self.program[len(self._enter) :]
        stepper = [sys.executable, str(ROOT / "tests/support/faults.py"), str(self._out), str(when), fault]
        done = subprocess.run(
            [*self._enter, *stepper, str(self.root), "--", *command, *argv], env=self.environment, check=True,
            timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(self._out.read_text())
        return found, done.stderr


@contextmanager
def small_disk(directory: Path) -> Iterator[SmallDisk]:
    """Give a command line on a small disk below `directory`, which may not exist."""
    directory.mkdir(exist_ok=True)
    (directory / "root").mkdir(mode=0o700)
    script = f"mount -t tmpfs -o {_OPTIONS} none {directory}/root && echo ready && exec cat"
    namespaces = ["unshare", "--map-root-user", "--map-auto", "--mount", "sh", "-c", script]
    with subprocess.Popen(namespaces, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        yield SmallDisk(directory, holder.pid)
