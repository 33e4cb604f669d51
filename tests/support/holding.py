"""Stops a command and all that it has started at a chosen system call, lets others do something, and lets it go on.

``holding.py OUT ROLE AT ROOT -- ARGUMENTS…``: AT is the number of a call of ROLE (see stepper.py), or a regular
expression: the first call whose arguments below ROOT, separated by spaces, it matches. There a line is written to
standard output, and one is waited for on standard input. OUT gets JSON: {"calls": {role: count}, "first": …,
"status": the command's, "error": what it said}.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from tests.support.features import ROOT
from tests.support.stepper import Stepper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.command_line import CommandLine

_F_OFD_SETLKW = 38


class Holding(Stepper):
    """Kills nobody."""

    def __init__(self, role: str, at: str, root: str) -> None:
        super().__init__(role, int(at) if at.isdigit() else 0, frozenset(), root)
        self._pattern = None if at.isdigit() else re.compile(at)

    def _called(self, pid: int) -> None:
        super()._called(pid)
        if self._pattern is not None:
            if not self._pattern.search(" ".join(self.paths(pid))):
                return
            self._pattern = None
        elif not self.when or self.role not in ("any", self.roles[pid]) or self.count_of_role() != self.when:
            return
        # Whoever else makes a call now stops at it: nobody looks after them.
        print("held", flush=True)
        sys.stdin.readline()

    def count_of_role(self) -> int:
        return self.calls.total() if self.role == "any" else self.calls[self.role]


def beside(
    pyrun: CommandLine, at: str, argv: Sequence[str], others: Sequence[Sequence[str]], *, role: str = "client",
    out: Path,
) -> dict[str, Any]:  # fmt: skip
    """Run `pyrun ARGV…`, and at an instant of it the others, one after another; return what holding.py says.

    Another one that waits for a lock that the command has is left to wait until that goes on. ``others`` in what is
    returned: exit code and standard error of each; none if the instant never came.
    """
    program = [sys.executable, "-m", "tests.support.holding", str(out), role, at, str(pyrun.root), "--"]
    environment = {**os.environ, "HOLDING": json.dumps(pyrun.environment), "HOLDING_CWD": str(pyrun.home)}
    told = []
    with subprocess.Popen(
        [*program, *pyrun.program, *argv], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holding:
        assert holding.stdin
        assert holding.stdout
        started = []
        if holding.stdout.readline():
            for other in others:
                started.append(pyrun.popen(*other, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
                _end_or_wait(started[-1].pid)
            holding.stdin.write(b"\n")
            holding.stdin.flush()
        told = [(process.communicate()[1].decode(), process.returncode) for process in started]
    assert holding.returncode == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return {**found, "others": [(code, text) for text, code in told]}


def _end_or_wait(pid: int) -> None:
    """Wait until a process has ended, or waits for a lock."""
    fd = os.pidfd_open(pid)
    try:
        while not select.select([fd], [], [], 0.02)[0]:
            try:
                with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
                    words = file.read().split()
            except OSError:
                continue
            if len(words) > 2 and int(words[2], 16) == _F_OFD_SETLKW:
                return
    finally:
        os.close(fd)


def main() -> int:
    out, role, at, root, _, *argv = sys.argv[1:]
    holding = Holding(role, at, root)
    with tempfile.TemporaryFile() as said, open(os.devnull, "r+b") as null:

        def act() -> None:
            for fd, target in ((null.fileno(), 0), (null.fileno(), 1), (said.fileno(), 2)):
                os.dup2(fd, target)
            os.chdir(os.environ["HOLDING_CWD"])
            os.execve(argv[0], argv, json.loads(os.environ["HOLDING"]))

        holding.follow(act)
        said.seek(0)
        error = said.read().decode("utf-8", "replace")
    with open(out, "w", encoding="ascii") as file:
        json.dump({"calls": holding.calls, "first": holding.first, "status": holding.status, "error": error}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
