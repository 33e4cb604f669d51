"""SIGKILL at many system calls of a monitor that starts its container again and checks its health.

Whenever that is, the container is gone with it and shown as ended, its lock is free, and it starts again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.runtime import state
from tests.integration.test_kill_instants import instants, with_traced
from tests.support.boxes import wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box

pytestmark = requires("strace", "overlay", "native")

# Three runs, each long enough for a check or two.
ARGUMENTS = (
    "run", "-d", "--name", "victim", "--network", "none", "--restart", "on-failure:2",
    "--health-cmd", "echo checked", "--health-interval", "5ms",
)  # fmt: skip
COMMAND = ("sh", "-c", "echo run; echo >> /runs; sleep 0.05; exit 3")


@pytest.fixture
def held(box: Box) -> Iterator[Box]:
    """Another container runs throughout, and keeps the engine namespace: newuidmap(1) cannot be traced."""
    box.pyrun.ok("run", "-d", "--name", "holder", "--network", "none", box.image, "sleep", "100000")
    yield box
    assert "holder" in box.names(), "it must not have been touched"


def wait_monitor(directory: Path) -> None:
    """Wait until the monitor has ended, by itself or by the tracer's doing."""
    try:
        wait_pid(json.loads((directory / "state").read_text())["monitor"])
    except FileNotFoundError:
        return  # it was killed before it had started the container: the client has seen its end


def check_ended(box: Box) -> None:
    directory = Path(box.inspect("victim")["HostsPath"]).parent
    wait_monitor(directory)
    found = box.inspect("victim")["State"]
    assert found["Status"] in ("created", "exited")
    # 128: its first process was killed before it had executed anything, so that start has failed (as docker says it).
    assert found["ExitCode"] in ((0, 128) if found["Status"] == "created" else (3, 128, 137))
    assert not state.is_locked(str(directory))
    assert box.names() == ["holder"]
    # It starts, on the files that it has.
    box.pyrun.ok("update", "--restart", "no", "victim")
    assert box.pyrun("start", "-a", "victim").returncode == 3
    assert box.pyrun.ok("rm", "-f", "victim") == "victim"


def kill_monitors(box: Box, tmp_path: Path, count: int) -> None:
    tmp_path.chmod(0o777)
    assert with_traced(box, "monitor", f"-o {tmp_path}/trace", *ARGUMENTS, box.image, *COMMAND) == 0
    check_ended(box)
    statuses = [with_traced_and_checked(box, options) for options in instants(tmp_path / "trace", count)]
    assert set(statuses) <= {0, 125}, statuses
    assert 0 in statuses, "most are killed when the client has gone"


def with_traced_and_checked(box: Box, options: str) -> int:
    status = with_traced(box, "monitor", options, *ARGUMENTS, box.image, *COMMAND)
    if "victim" in box.names("-a"):
        check_ended(box)
    return status


@pytest.mark.timeout(180)
def test_a_few_instants(held: Box, tmp_path: Path) -> None:
    kill_monitors(held, tmp_path, 8)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_many_instants(held: Box, tmp_path: Path) -> None:
    kill_monitors(held, tmp_path, 120)
