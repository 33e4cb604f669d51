"""A newer pyrun and a container that runs under the monitor of the release before: every verb does what it did."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import old_monitor
from tests.support.boxes import following, wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay", "gcc")


def record(directory: str) -> Any:
    return json.loads(Path(directory, "state").read_text())


def test_it_is_the_old_one(box: Box) -> None:
    directory = old_monitor.start(box, "aged")
    found = record(directory)
    assert "restarts" not in found, "what today's monitor writes"
    assert os.readlink(f"/proc/{found['monitor']}/exe").startswith(old_monitor.build())


def test_seen(box: Box) -> None:
    old_monitor.start(box, "aged", "-e", "A=b")
    assert box.names() == ["aged"]
    assert re.search(r" Up .*aged$", box.pyrun.ok("ps"), re.MULTILINE)
    assert "(health" not in box.pyrun.ok("ps")
    found = box.inspect("aged")
    assert (found["State"]["Status"], found["RestartCount"]) == ("running", 0)
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert "sleep 1000" in box.pyrun.ok("top", "aged")
    assert box.names("--filter", "health=none", "--filter", "restart-policy=no") == ["aged"]


def test_exec(box: Box) -> None:
    old_monitor.start(box, "aged", "-u", "alice", "-e", "A=b")
    assert box.pyrun.ok("exec", "aged", "sh", "-c", "id -un; echo $A").split() == ["alice", "b"]
    assert box.pyrun("exec", "aged", "sh", "-c", "exit 9").returncode == 9
    assert box.pyrun("exec", "-i", "aged", "cat", input="in\n").stdout == "in\n"


def test_logs_and_following(box: Box) -> None:
    script = "echo one; read line < /fifo; echo two >&2; exit 4"
    old_monitor.start(box, "aged", command=("sh", "-c", "mkfifo /fifo; " + script))
    with following(box.pyrun, "aged") as lines:
        assert next(lines) == "one"
        box.pyrun.ok("exec", "aged", "sh", "-c", "echo > /fifo")
        assert list(lines) == []  # two went to standard error
    assert box.pyrun.ok("wait", "aged") == "4"
    done = box.pyrun("logs", "aged")
    assert (done.stdout, done.stderr) == ("one\n", "two\n")


def test_attached_to_and_left(box: Box) -> None:
    old_monitor.start(box, "aged", "-i", command=("sh", "-c", "echo up; read line; echo got $line; exit 6"))
    with box.pyrun.popen("start", "-ai", "aged", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(b"words\n", timeout=60)
    assert out.endswith(b"got words\n")
    assert process.returncode == 6
    assert box.inspect("aged")["State"]["ExitCode"] == 6


@pytest.mark.parametrize("end", [("stop",), ("stop", "-t", "0"), ("kill",), ("kill", "-s", "USR1")])
def test_ended(box: Box, end: tuple[str, ...]) -> None:
    script = "trap 'exit 7' TERM USR1; echo up; while :; do sleep 0.05; done"
    directory = old_monitor.start(box, "aged", command=("sh", "-c", script))
    with following(box.pyrun, "aged") as lines:
        assert next(lines) == "up"
    monitor = record(directory)["monitor"]
    box.pyrun.ok(*end, "aged")
    wait_pid(monitor)
    state = box.inspect("aged")["State"]
    assert (state["Status"], state["ExitCode"]) in (("exited", 7), ("exited", 137))
    assert state["FinishedAt"] > state["StartedAt"]


def test_paused(box: Box) -> None:
    old_monitor.start(box, "aged")
    box.pyrun.ok("pause", "aged")
    assert "(Paused)" in box.pyrun.ok("ps")
    box.pyrun.ok("unpause", "aged")
    assert box.pyrun.ok("exec", "aged", "echo", "on") == "on"


def test_removed(box: Box) -> None:
    directory = old_monitor.start(box, "aged")
    pid = record(directory)["pid"]
    assert "running" in box.pyrun.fails(1, "rm", "aged")
    assert box.pyrun.ok("rm", "-f", "aged") == "aged"
    assert not os.path.exists(directory)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_policy_counts_from_the_next_start_on(box: Box) -> None:
    directory = old_monitor.start(box, "aged")
    told = box.pyrun("update", "--restart", "always", "aged")
    assert told.returncode == 0, told.stderr
    assert box.inspect("aged")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    now = record(directory)
    os.kill(now["pid"], signal.SIGKILL)
    wait_pid(now["monitor"])
    assert box.status("aged") == "exited", "that monitor knows no policies"
    box.pyrun.ok("start", "aged")
    now = record(directory)
    assert now["restarts"] == 0
    os.kill(now["pid"], signal.SIGKILL)
    while box.inspect("aged")["RestartCount"] == 0:
        wait_pid(now["pid"])
    box.pyrun.ok("rm", "-f", "aged")


def test_its_monitor_killed(box: Box) -> None:
    directory = old_monitor.start(box, "aged")
    now = record(directory)
    os.kill(now["monitor"], signal.SIGKILL)
    wait_pid(now["monitor"])
    wait_pid(now["pid"])
    state = box.inspect("aged")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    assert box.pyrun.ok("start", "aged") == "aged"
    assert record(directory)["restarts"] == 0, "started again, it has today's monitor"
