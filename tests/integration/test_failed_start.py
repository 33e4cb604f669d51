"""What `inspect` says of a container that could not be started: docker's State.Error, and the exit code with it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.features import ROOT, requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay")

SHOWN = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
NONE = ("--network", "none")


def shown(box: Box, name: str) -> str:
    return box.pyrun.ok("inspect", "-f", SHOWN, name)


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("nothing", 127, "cannot execute command: nothing: executable file not found in $PATH"),
        ("/etc/passwd", 126, "cannot execute command: /etc/passwd: permission denied"),
    ],
)
def test_create_and_start(box: Box, command: str, code: int, error: str) -> None:
    box.pyrun.ok("create", "--name", "one", *NONE, box.image, command)
    assert shown(box, "one") == "created 0 "
    box.pyrun.fails(1, "start", "nobody")
    assert error in box.pyrun.fails(1, "start", "one")
    assert shown(box, "one") == f"created {code} {error}"


def test_it_holds_until_something_runs(box: Box, tmp_path: Path) -> None:
    program = tmp_path / "program"
    box.pyrun.fails(127, "run", "--name", "one", *NONE, "-v", f"{tmp_path}:/x", box.image, "/x/program")
    assert shown(box, "one").startswith("created 127 cannot execute command: /x/program: ")
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    assert box.pyrun("start", "-a", "one").returncode == 3
    assert shown(box, "one") == "exited 3 "


def test_what_runs_already_is_no_failure(box: Box) -> None:
    box.start("host")
    box.pyrun.ok("pause", "host")
    box.pyrun.fails(1, "start", "host")
    assert shown(box, "host") == "paused 0 "


# Between the look at its record and the start of its monitor another process removes it.
REMOVED_MEANWHILE = """
import json, subprocess, sys
from pyrun.cli.main import main
from pyrun.runtime import launch

start = launch.start_monitor

def start_monitor(*words, **more):
    subprocess.run([*json.loads(sys.argv[1]), "rm", "one"], check=True, stdout=subprocess.DEVNULL)
    return start(*words, **more)

launch.start_monitor = start_monitor
sys.exit(main(["start", "one"]))
"""


def test_removed_meanwhile(box: Box) -> None:
    box.pyrun.ok("create", "--name", "one", *NONE, box.image, "true")
    ended = subprocess.run(
        [sys.executable, "-c", REMOVED_MEANWHILE, json.dumps(box.pyrun.program)],
        env=box.pyrun.environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr.split("\n")[0]) == (1, "pyrun: no such container: one")
