"""The same command lines for pyrun and podman, and what differs in their answers.

A `Case` is a list of command lines; `{image}` stands for busybox, `{repository}` for its name without the tag, and
`{registry}` for where it is. Exit codes and standard output of each line must be
the same after ids and times are made alike; standard error too where the case says so. A line that is known to differ
is wrapped in `differs(line, reason)`: then its output *must* differ, so that no reason outlives its cause. The reasons
are those of pyrun/cli/podman_differences.py, and so stand in COMPATIBILITY.md.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from tests.support.features import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Answer = tuple[int, str, str]  # exit code, standard output, standard error

_ALIKE = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "ID64"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID12"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d| ?Z)?( [A-Z]{3,4})?"), "TIME"),
    (re.compile(r"\b(Less than a second|About an? \w+|\d+ (second|minute|hour)s?)\b"), "SPAN"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
    (re.compile(r" {2,}"), "  "),
)

_GROUPS = ("container", "image", "manifest", "system", "volume")


class Engine(Protocol):
    """What a command line is driven through: `CommandLine`, `Podman`."""

    def __call__(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]: ...


class Line(NamedTuple):
    """One command line. `reason`: why the peer's output is another; `code`: and its exit code too."""

    text: str
    reason: str = ""
    code: bool = False
    input: str | None = None
    about: str = ""

    @property
    def verb(self) -> str:
        """What it is about, by default what it calls, as COMPATIBILITY.md names it: `ps`, `container prune`."""
        words = (self.about or self.text).split()
        return " ".join(words[: 2 if words[0] in _GROUPS else 1])


class Case:
    """Command lines that are given one after another in an engine without containers.

    ``errors``: standard error is compared as well.
    """

    def __init__(self, name: str, *lines: str | Line, errors: bool = False) -> None:
        self.name = name
        self.lines = [line if isinstance(line, Line) else Line(line) for line in lines]
        self.errors = errors


def differs(text: str, reason: str, *, code: bool = False, input: str | None = None, about: str = "") -> Line:
    """Return a line whose output differs from the peer's, and why; ``code``: its exit code differs too.

    ``about``: the verb that differs, where the line only shows what it did.
    """
    return Line(text, reason, code, input, about)


class Podman:
    """podman with a store of its own; cgroupfs and a file of events, because systemd's are not there for everybody."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = [
            *(command("podman") or "podman", "--root", f"{directory}/graph", "--runroot", f"{directory}/run"),
            *("--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"),
            *("--log-level", "error"),
        ]
        self.environment = {
            "HOME": str(directory), "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
            "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", ""), "LANG": "C.UTF-8", "TERM": "xterm",
        }  # fmt: skip

    def __call__(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        stdin = subprocess.DEVNULL if input is None else None
        return subprocess.run(
            [*self.program, *arguments], input=input, stdin=stdin, capture_output=True, text=True, timeout=120,
            env=self.environment, cwd=self.directory, errors="surrogateescape",
        )  # fmt: skip

    def end(self) -> None:
        """Remove the store and end the process that keeps podman's user namespace."""
        for words in (["rm", "--all", "--force", "--time", "0", "--volumes"], ["system", "migrate"]):
            self(*words)
        script = ["rm", "-rf", "--one-file-system", str(self.directory)]
        subprocess.run(["unshare", "--map-root-user", "--map-auto", *script], check=True)


def new_podman() -> Podman:
    """Make a podman whose store is on a disk and whose paths are short (a Unix socket's name has 107 bytes)."""
    return Podman(Path(tempfile.mkdtemp(prefix="podman-", dir="/var/tmp")))


def same_as_podman(cases: Sequence[Case], *, full: bool = False) -> Callable[..., None]:
    """Return a test of each of the cases, to be given a name in a module; ``full``: only in the long run."""

    @pytest.mark.parametrize("case", cases, ids=lambda case: case.name)
    def test(case: Case, same: Callable[[Case], None]) -> None:
        same(case)

    return pytest.mark.full(test) if full else test


def alike(text: str) -> str:
    """Put the same words in place of ids, times and widths."""
    for pattern, word in _ALIKE:
        text = pattern.sub(word, text)
    return text


def compare(case: Case, pyrun: Engine, peer: Engine, image: str) -> list[str]:
    """Return what is not as the case says, line by line."""
    faults: list[str] = []
    for line in case.lines:
        ours, theirs = _answer(pyrun, line, image), _answer(peer, line, image)
        faults += _faults(line, _compared(ours, errors=case.errors), _compared(theirs, errors=case.errors))
        if faults:
            faults.append(f"  pyrun's standard error:  {ours[2]!r}\n  podman's standard error: {theirs[2]!r}")
            return faults  # what follows depends on it
    return faults


def reasons(cases: Iterable[Case]) -> set[tuple[str, str]]:
    """Return the known differences: (why, verb)."""
    return {(line.reason, line.verb) for case in cases for line in case.lines if line.reason}


def _answer(engine: Engine, line: Line, image: str) -> Answer:
    repository = image.rpartition(":")[0]
    meanings = {"{image}": image, "{repository}": repository, "{registry}": repository.partition("/")[0]}
    words = shlex.split(line.text)
    for place, meaning in meanings.items():
        words = [word.replace(place, meaning) for word in words]
    done = engine(*words, input=line.input)
    return done.returncode, alike(done.stdout), alike(done.stderr)


def _compared(answer: Answer, *, errors: bool) -> Answer:
    return answer if errors else (*answer[:2], "")


def _faults(line: Line, ours: Answer, theirs: Answer) -> list[str]:
    faults = []
    if (ours[0] != theirs[0]) != line.code:
        what = "the same exit code, though known to differ" if line.code else "exit codes"
        faults.append(f"{line.text}: {what}: pyrun {ours[0]}, podman {theirs[0]}")
    if line.reason and not line.code and ours[1:] == theirs[1:]:
        faults.append(f"{line.text}: known to differ ({line.reason}), but does not:\n{ours[1]}")
    if not line.reason and ours[1:] != theirs[1:]:
        faults.append(f"{line.text}: output\n--- pyrun\n{ours[1]}{ours[2]}\n--- podman\n{theirs[1]}{theirs[2]}")
    return faults
