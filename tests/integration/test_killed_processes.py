"""SIGKILL to a container's monitor, to its init, and to all of them with the client at once, at many system calls.

Whenever that is: the container is listed as created or exited, with 137 where nobody could say how it ended; it can be
started again, and never are there two of it. The table of what must hold is in tests/README.md.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pyrun.engine import ps
from pyrun.engine.inspect import inspect
from tests.support.features import requires
from tests.support.killing import MARKER, NONE, Killing, instances, marked, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay", "native")

RUN = ("run", "-d", "--name", "victim", *NONE)
BRIEF = ("IMAGE", "sh", "-c", "echo 1; echo 2 >&2; exit 3")
LONG = ("IMAGE", "sleep", MARKER)


class Life(NamedTuple):
    """A command line (`then`: a second one, when the first has returned), whose `role` is killed with `victims`."""

    argv: tuple[str, ...]
    role: str
    victims: str
    then: tuple[str, ...] = ()
    instants: int = 12


STOP = ("stop", "-t", "0", "victim")
LIVES = {
    "monitor": Life((*RUN, *BRIEF), "monitor", "monitor"),
    "monitor of --rm": Life((*RUN, "--rm", "-v", "/data", *BRIEF), "monitor", "monitor"),
    "monitor, restarting": Life((*RUN, "--restart", "on-failure:1", *BRIEF), "monitor", "monitor"),
    "monitor, stopped": Life((*RUN, *LONG), "monitor", "monitor", STOP),
    "monitor, user": Life((*RUN, "-u", "1:1", *LONG), "monitor", "monitor", STOP),
    "monitor, --pid=host": Life((*RUN, "--pid", "host", *LONG), "init", "init", STOP),
    "guard, --pid=host": Life((*RUN, "--pid", "host", *LONG), "monitor", "monitor", STOP),
    "guard and monitor, --pid=host": Life((*RUN, "--pid", "host", *LONG), "init", "monitor,init", STOP),
    "init": Life((*RUN, *BRIEF), "init", "init", instants=24),
    "init, user": Life((*RUN, "-u", "1:1", *BRIEF), "init", "init"),
    "init, --init": Life((*RUN, "--init", *BRIEF), "init", "init"),
    "all, by the client": Life((*RUN, *LONG), "client", "client,helper,monitor,init,program", STOP, 24),
    "all, by the monitor": Life((*RUN, *LONG), "monitor", "client,helper,monitor,init,program", STOP, 24),
    "all, by init": Life((*RUN, *LONG), "init", "client,helper,monitor,init,program", STOP, 24),
}


@pytest.fixture(scope="module")
def killing(shared_box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killing]:
    made = Killing(shared_box, tmp_path_factory.mktemp("killing"))
    yield made
    shared_box.pyrun.ok("rm", "-f", "holder")


def command(killing: Killing, life: Life) -> tuple[str, ...]:
    argv = [killing.box.image if word == "IMAGE" else word for word in life.argv]
    if not life.then:
        return tuple(argv)
    program = killing.box.pyrun.program[0]
    quoted = [" ".join(f"'{word}'" for word in (program, *words)) for words in (argv, life.then)]
    return ("/bin/sh", "-c", "; ".join(quoted))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LIVES)
def test_a_killed(killing: Killing, name: str, pytestconfig: pytest.Config) -> None:
    life = LIVES[name]
    argv = command(killing, life)
    recorded = killing.step(life.role, 0, "none", *argv)
    assert life.role in recorded["calls"], recorded
    calls = recorded["calls"][life.role]
    killing.clean()
    count = life.instants if pytestconfig.getoption("--full") else 2
    killed = 0
    for when in spread(count, calls, 0.45 if life.role == "client" else 0.0):
        killed += bool(killing.step(life.role, when, life.victims, *argv)["killed"])
        check(killing, f"{name}: killed at call {when} of {calls}")
        killing.clean()
    assert killed > count // 3


def check(killing: Killing, when: str) -> None:
    pyrun = killing.box.pyrun
    assert set(killing.states()) <= {"victim"}, when
    ephemeral = inspect(killing.layout, "victim")["HostConfig"]["AutoRemove"] if killing.states() else False
    if killing.states() and not ephemeral:
        # At once, while what was killed may still be dying: there must not be two of it.
        started = pyrun("start", "victim")
        assert instances() <= 1, f"{when}: two of it: {marked()}"
        assert started.returncode == 0, f"{when}: {started.stderr}"
        pyrun.ok("stop", "-t", "0", "victim")
    if killing.states():
        state = killing.state("victim")
        assert state["Status"] in ("created", "exited"), f"{when}: {state}"
        assert not state["Running"], f"{when}: {state}"
        assert state["ExitCode"] in (0, 3, 137, 143), f"{when}: {state}"
        pyrun.ok("logs", "victim")
    assert [each.record["name"] for each in ps.list_containers(killing.layout)] == ["holder"], when
    assert instances() == 0, f"{when}: {marked()}"


def test_exited_137(killing: Killing) -> None:
    """A monitor is killed while its container runs: also of another user, and with the pids of the host."""
    for options, program in (((), LONG), (("-u", "1:1"), LONG), (("--pid", "host"), LONG)):
        killing.box.start("victim", *options, command=program[1:])
        init = int(killing.box.pyrun.ok("inspect", "--format", "{{.State.Pid}}", "victim"))
        os.kill(parent_of(init), signal.SIGKILL)
        assert killing.box.pyrun.ok("wait", "victim") == "137"
        assert killing.states() == {"victim": "exited"}
        assert "Exited (137)" in killing.box.pyrun.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}")
        killing.clean()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
