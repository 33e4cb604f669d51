"""`top` and `stats`: whose processes, docker's columns, and where the figures come from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pexpect

from tests.support.boxes import following
from tests.support.features import requires
from tests.support.groups import leave, new_group

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

BUSY = ("sh", "-c", "sleep 1000 & echo up; while :; do :; done")


def start(box: Box, name: str, *command: str) -> None:
    box.start(name, command=command)
    with following(box.pyrun, name) as lines:
        assert next(lines) == "up"


def test_top(box: Box) -> None:
    pyrun = box.pyrun
    start(box, "con", *BUSY)
    box.start("other", command=("sleep", "2000"))
    # Neither a process of `exec` nor one in a namespace below is a child of the container's first one.
    pyrun.ok("exec", "-d", "con", "sleep", "3000")
    lines = pyrun.ok("top", "con").split("\n")
    assert lines[0].split() == "UID PID PPID C STIME TTY TIME CMD".split()
    # docker's columns: at least 20 wide, the last as it is.
    assert lines[0].startswith("UID                 PID                 PPID ")
    commands = sorted(line[7 * 20 :] for line in lines[1:])
    assert commands == ["sh -c sleep 1000 & echo up; while :; do :; done", "sleep 1000", "sleep 3000"]
    rows = [line.split() for line in pyrun.ok("container", "top", "con", "-o", "pid,comm").split("\n")]
    assert rows[0] == ["PID", "COMMAND"]
    assert [str(box.inspect("con")["State"]["Pid"]), "sh"] in rows
    assert "couldn't find PID field" in pyrun.fails(1, "top", "con", "-o", "comm")
    assert 'specifying "ppid=PID" is not allowed' in pyrun.fails(1, "top", "con", "-o", "ppid=PID")
    assert "cannot list processes: ps: error" in pyrun.fails(1, "top", "con", "--nonesuch")
    pyrun.ok("pause", "con")
    assert len(pyrun.ok("top", "con").split("\n")) == 4
    pyrun.ok("kill", "con")
    assert "cannot list processes of container: con: it is not running" in pyrun.fails(1, "top", "con")
    assert "no such container: none" in pyrun.fails(1, "top", "none")


def test_stats_once(box: Box) -> None:
    pyrun = box.pyrun
    start(box, "con", *BUSY)
    box.pyrun.ok("create", "--name", "idle", box.image)
    head, row = pyrun.ok("stats", "--no-stream").split("\n")
    assert re.split(" {2,}", head) == [
        "CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS",
    ]  # fmt: skip
    columns = re.split(" {2,}", row)
    assert columns[0] == box.inspect("con")["Id"][:12]
    assert columns[1] == "con"
    assert float(columns[2].removesuffix("%")) > 1, "it does nothing but count"
    assert re.fullmatch(r"[\d.]+[KM]iB / [\d.]+[GT]iB", columns[3])
    assert re.fullmatch(r"\d+\.\d\d%", columns[4])
    assert columns[5] == "0B / 0B"
    assert columns[7] == "2"
    lines = pyrun.ok("container", "stats", "-a", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.PIDs}}").split(
        "\n"
    )
    assert lines[0] == "idle 0.00% 0"
    assert lines[1].startswith("con ")
    shown = json.loads(pyrun.ok("stats", "--no-stream", "--no-trunc", "--format", "json", "idle"))
    assert shown == {
        "BlockIO": "0B / 0B", "CPUPerc": "0.00%", "Container": "idle", "ID": box.inspect("idle")["Id"],
        "MemPerc": "0.00%", "MemUsage": "0B / 0B", "Name": "idle", "NetIO": "0B / 0B", "PIDs": "0",
    }  # fmt: skip
    assert "no such container: none" in pyrun.fails(1, "stats", "--no-stream", "none")


@requires("freezer")
def test_where_the_figures_come_from(box: Box) -> None:
    source = ("stats", "--no-stream", "--format", "{{.Source}} {{.PIDs}}", "con")
    with new_group() as group:
        start(box, "con", *BUSY)
        # The test is in the same group.
        assert box.pyrun.ok(*source) == "proc 2"
        leave(group)
        assert box.pyrun.ok(*source) == "cgroup 2"
        # The group of a pause has not seen what was used before.
        box.pyrun.ok("pause", "con")
        assert box.pyrun.ok(*source) == "cgroup 2"
        box.pyrun.ok("rm", "-f", "con")


def test_stats_on_a_terminal(box: Box) -> None:
    start(box, "con", *BUSY)
    child = pexpect.spawn(
        box.pyrun.program[0], [*box.pyrun.program[1:], "stats", "con"], env=box.pyrun.environment, encoding="utf-8",
        timeout=30,
    )  # fmt: skip
    child.expect_exact("\x1b[2J\x1b[H")
    child.expect(r"con +-- +-- / -- +-- +-- / -- +-- / -- +--")
    for _ in range(2):
        child.expect_exact("\x1b[2J\x1b[H")
        child.expect(r"con +\d+\.\d\d% .* 2\r\n")
    box.pyrun.ok("rm", "-f", "con")
    # Nobody is left to be looked at.
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
