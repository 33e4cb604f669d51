"""SIGKILL to a monitor: who waits for the container's end, starts or removes it, or sweeps, records that end, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_events import following, past
from tests.integration.test_terminal_end import at_prompt
from tests.support.boxes import wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from typing import Any

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay")

RUN = ("run", "-d", "--name", "con", "--network", "none", "-v", "/data")
# A line each: a part of one is not in the log yet.
TELLS = ("sh", "-c", "while echo 'here> '; do sleep 0.1; done")
SWEEP = ("rm", "-f", "nobody")
DEAD_FOR_ONE = [("die", "137"), ("unmount", None)]


def monitor_of(box: Box, name: str) -> int:
    pid = box.pyrun.ok("inspect", "-f", "{{.State.Pid}}", name)
    with open(f"/proc/{int(pid)}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def kill_monitor(box: Box, name: str = "con") -> None:
    monitor = monitor_of(box, name)
    os.kill(monitor, signal.SIGKILL)
    wait_pid(monitor)
    assert box.pyrun.ok("ps", "-a", "--format", "{{.State}}", "--filter", f"name={name}") == "exited"


def ends(box: Box) -> list[tuple[str, Any]]:
    """The ends that were told of, and the volumes that were unmounted."""
    told = [(event["Action"], event["Actor"]["Attributes"].get("exitCode")) for event in past(box)]
    return [pair for pair in told if pair[0] in ("die", "unmount")]


@pytest.mark.parametrize("verb", [("wait", "con"), ("start", "con"), ("restart", "con"), ("rm", "con"), SWEEP])
def test_who_records_the_end(box: Box, verb: tuple[str, ...]) -> None:
    box.pyrun.ok(*RUN, box.image, "sleep", "1000")
    kill_monitor(box)
    assert ends(box) == []
    box.pyrun.ok(*verb)
    assert ends(box) == DEAD_FOR_ONE
    if verb[0] not in ("rm", "start", "restart"):
        finished = box.inspect("con")["State"]["FinishedAt"]
        box.pyrun.ok("start", "con")
        box.pyrun.ok("kill", "con")
        box.pyrun.ok("wait", "con")
        assert ends(box) == DEAD_FOR_ONE * 2
        assert box.inspect("con")["State"]["FinishedAt"] > finished


def test_once_however_many_see_it(box: Box) -> None:
    box.pyrun.ok(*RUN, box.image, "sleep", "1000")
    waiting = [box.pyrun.popen("wait", "con", stdout=subprocess.PIPE) for _ in range(6)]
    with following(box, "--since", "1h", "--filter", "event=die") as events:
        os.kill(monitor_of(box, "con"), signal.SIGKILL)
        assert [process.communicate(timeout=60)[0] for process in waiting] == [b"137\n"] * 6
        assert events.stdout is not None
        assert b"container die" in events.stdout.readline()
    box.pyrun.ok("rm", "con")
    assert ends(box) == DEAD_FOR_ONE


@pytest.mark.parametrize("options", [(), ("--rm",)])
def test_who_is_attached(box: Box, options: tuple[str, ...]) -> None:
    """As in docker the code is that of a container that was killed."""
    run = box.pyrun.popen(
        *RUN[:1], *RUN[2:], *options, box.image, "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"up\n"
        os.kill(monitor_of(box, "con"), signal.SIGKILL)
        assert run.wait(60) == 137
    assert ends(box) == DEAD_FOR_ONE
    box.pyrun.ok(*SWEEP)
    assert box.names("-a") == ([] if options else ["con"])
    assert ends(box) == DEAD_FOR_ONE


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (("attach", "con"), 137), (("exec", "-it", "con", *TELLS), 137), (("logs", "-f", "con"), 0),
        (("wait", "con"), 0), (("wait", "--condition", "exited", "con"), 0),
    ],
)  # fmt: skip
def test_who_is_on_it_ends(box: Box, verb: tuple[str, ...], code: int) -> None:
    """With docker's codes for a container that was killed, and gives its terminal back."""
    box.pyrun.ok(*RUN, "-it", box.image, *TELLS)
    if verb[0] == "wait":
        process, theirs = box.pyrun.popen(*verb, stdout=subprocess.PIPE), -1
    else:
        process, ours, theirs = at_prompt(box, *verb)
    os.kill(monitor_of(box, "con"), signal.SIGKILL)
    with process:
        assert process.wait(60) == code
        assert process.stdout is None or process.stdout.read() == b"137\n"
    if theirs >= 0:
        assert termios.tcgetattr(theirs)[3] & termios.ICANON
        os.close(ours)
        os.close(theirs)


def test_its_end_is_not_told_twice_where_it_waited_to_restart(box: Box) -> None:
    """The run had ended before its monitor was killed, and that was told."""
    box.pyrun.ok(*RUN, "--restart", "always", box.image, "false")
    box.pyrun.ok("wait", "con")
    for _ in range(4):  # its pauses get longer: docker's 0.1 s, doubled
        box.pyrun("wait", "--condition", "next-exit", "con")
    directory = os.path.dirname(box.inspect("con")["HostsPath"])
    with open(f"{directory}/state") as file:
        state = json.load(file)
    assert state["status"] == "restarting"
    os.kill(state["monitor"], signal.SIGKILL)
    wait_pid(state["monitor"])
    before = ends(box)
    box.pyrun.ok("wait", "con")
    box.pyrun.ok("rm", "con")
    assert ends(box) == before
