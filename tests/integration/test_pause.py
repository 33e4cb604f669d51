"""`pause` and `unpause`, by the freezer of cgroup2 and by signals: what stops, what is said, what crashes leave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pyrun.engine import exec as engine_exec
from pyrun.engine.options import ExecOptions
from pyrun.runtime import state
from pyrun.store.layout import Layout
from tests.support import features
from tests.support.boxes import wait_pid
from tests.support.features import ROOT, requires
from tests.support.groups import new_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

# Counts in a file, and makes a process for each number; what it makes lives for a moment.
COUNT = "i=0; while :; do i=$((i+1)); echo $i > /v/{name}.new; /bin/busybox mv /v/{name}.new /v/{name}; done"


class Place(NamedTuple):
    """A box whose containers are in a group of their own; ``group`` is "" where there is no cgroup2 for us."""

    box: Box
    group: str
    directory: Path

    def count(self, name: str = "con") -> int:
        return int((self.directory / name).read_text())

    def start(self, *options: str) -> None:
        """Start a container that counts and wait for its first number."""
        script = COUNT.format(name="con")
        self.box.start("con", "-v", f"{self.directory}:/v", *options, command=("sh", "-c", script))
        self.await_count(0)

    def await_file(self, name: str) -> None:
        self.box.run("-v", f"{self.directory}:/v", command=("sh", "-c", f"until [ -s /v/{name} ]; do :; done"))

    def await_count(self, least: int, name: str = "con") -> None:
        script = f"while ! [ -e /v/{name} ] || [ $(cat /v/{name}) -le {least} ]; do :; done"
        self.box.run("-v", f"{self.directory}:/v", command=("sh", "-c", script))

    def groups(self) -> list[str]:
        """The groups that pauses have made, and not removed."""
        return [name for name in os.listdir(self.group or "/") if name.endswith(".paused")]

    def is_still(self, name: str = "con") -> bool:
        """Whether it has not counted on while other commands ran."""
        before = self.count(name)
        self.box.pyrun.ok("ps")
        self.box.pyrun.ok("run", "--rm", "--network", "none", self.box.image, "true")
        return self.count(name) == before


@pytest.fixture(params=[pytest.param("freezer", marks=requires("freezer")), "signals"])
def place(request: pytest.FixtureRequest, box: Box, tmp_path: Path) -> Iterator[Place]:
    shared = Path(tmp_path, "v")
    shared.mkdir()
    if features.missing("freezer"):
        yield Place(box, "", shared)
        return
    with new_group() as group:
        if request.param == "signals":
            group.chmod(0o555)
        place = Place(box, str(group), shared)
        try:
            yield place
        finally:
            box.pyrun("rm", "-f", "con")
        assert place.groups() == []


def processes(box: Box) -> list[int]:
    """All processes of the container, by the namespace of its first one."""
    init = box.inspect("con")["State"]["Pid"]
    namespace = os.stat(f"/proc/{init}/ns/pid").st_ino
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}/ns/pid").st_ino == namespace:
                found.append(int(name))
    return found


def test_pause_stops_everything(place: Place) -> None:
    pyrun = place.box.pyrun
    place.start()
    pyrun.ok("exec", "-d", "con", "sh", "-c", COUNT.format(name="exec"))
    place.await_count(0, "exec")
    assert pyrun.ok("pause", "con") == "con"
    assert place.is_still()
    assert place.is_still("exec")
    inside = processes(place.box)
    assert len(inside) >= 2
    if place.group and os.access(place.group, os.W_OK):
        group = f"{place.group}/{place.groups()[0]}"
        assert "frozen 1" in Path(group, "cgroup.events").read_text()
        assert sorted(map(int, Path(group, "cgroup.procs").read_text().split())) == sorted(inside)
    else:
        states = {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in inside}
        assert states <= {"T", "Z"}
    assert pyrun.ok("unpause", "con") == "con"
    place.await_count(place.count())
    place.await_count(place.count("exec"), "exec")


def test_what_is_said_of_a_paused_one(place: Place) -> None:
    box, pyrun = place.box, place.box.pyrun
    place.start()
    pyrun.ok("container", "pause", "con")
    shown = box.inspect("con")["State"]
    assert (shown["Status"], shown["Running"], shown["Paused"]) == ("paused", True, True)
    assert shown["Pid"] > 0
    assert pyrun.ok("ps", "--format", "{{.State}} {{.Status}}").endswith(" (Paused)")
    assert box.names("-f", "status=paused") == ["con"]
    assert box.names("-f", "status=running") == []
    assert " Paused: 1\n" in pyrun.ok("info")
    assert "cannot pause container: con: it is already paused" in pyrun.fails(1, "pause", "con")
    assert "cannot exec in container: con: it is paused" in pyrun.fails(1, "exec", "con", "true")
    assert "cannot start container: con: it is paused\nhint: try unpause instead" in pyrun.fails(1, "start", "con")
    assert "cannot remove container: con: it is paused" in pyrun.fails(1, "rm", "con")
    pyrun.ok("container", "unpause", "con")
    assert "cannot unpause container: con: it is not paused" in pyrun.fails(1, "unpause", "con")
    assert "(Paused)" not in pyrun.ok("ps")
    pyrun.ok("kill", "con")
    for verb in ("pause", "unpause"):
        assert f"cannot {verb} container: con: it is not running" in pyrun.fails(1, verb, "con")
        assert "no such container: none" in pyrun.fails(1, verb, "none")


def test_several_and_one_that_fails(place: Place) -> None:
    pyrun = place.box.pyrun
    place.start()
    done = pyrun("pause", "none", "con")
    assert (done.returncode, done.stdout) == (1, "con\n")
    assert "no such container: none" in done.stderr


def test_a_paused_one_is_stopped_killed_removed(place: Place) -> None:
    box, pyrun = place.box, place.box.pyrun
    place.start()
    pyrun.ok("pause", "con")
    pyrun.ok("stop", "-t", "0", "con")
    assert box.inspect("con")["State"]["ExitCode"] == 137
    pyrun.ok("start", "con")
    assert box.status("con") == "running"
    pyrun.ok("pause", "con")
    pyrun.ok("kill", "con")
    assert box.status("con") == "exited"
    assert place.groups() == []
    pyrun.ok("start", "con")
    pyrun.ok("pause", "con")
    pyrun.ok("rm", "-f", "con")
    assert place.groups() == []
    # It takes its record along.
    place.start("--rm")
    pyrun.ok("pause", "con")
    pyrun.ok("kill", "con")
    assert box.names("-a") == []


def test_stop_lets_a_paused_one_end_by_itself(place: Place) -> None:
    box = place.box
    script = "trap 'exit 7' TERM; echo up > /v/con; while :; do /bin/true; done"
    for verb in (("stop",), ("kill", "-s", "TERM")):
        box.start("con", "-v", f"{place.directory}:/v", command=("sh", "-c", script))
        place.await_file("con")
        box.pyrun.ok("pause", "con")
        box.pyrun.ok(*verb, "con")
        assert box.pyrun.ok("wait", "con") == "7"
        box.pyrun.ok("rm", "con")


def test_killed_from_outside_while_paused(place: Place) -> None:
    box, pyrun = place.box, place.box.pyrun
    place.start()
    pid = box.inspect("con")["State"]["Pid"]
    pyrun.ok("pause", "con")
    os.kill(pid, signal.SIGKILL)
    assert pyrun.ok("wait", "con") == "137"
    assert box.status("con") == "exited"
    pyrun.ok("start", "con")
    assert box.status("con") == "running"
    assert place.groups() == []


def test_monitor_killed_while_paused(place: Place) -> None:
    box, pyrun = place.box, place.box.pyrun
    place.start()
    directory = pyrun.root / "containers" / box.inspect("con")["Id"]
    now = state.status(str(directory))
    pyrun.ok("pause", "con")
    os.kill(now.monitor, signal.SIGKILL)
    wait_pid(now.monitor)
    wait_pid(now.pid)
    assert box.inspect("con")["State"]["Paused"] is False
    assert box.inspect("con")["State"]["ExitCode"] == 137
    pyrun.ok("start", "con")
    assert box.status("con") == "running"


def test_one_that_stopped_itself_is_not_continued(place: Place) -> None:
    """Job control inside: who was stopped before the pause is stopped after it."""
    box, pyrun = place.box, place.box.pyrun
    script = "sleep 1000 & kill -STOP $!; echo $! > /v/pid; while :; do /bin/true; done"
    box.start("con", "-v", f"{place.directory}:/v", command=("sh", "-c", script))
    place.await_file("pid")
    pyrun.ok("pause", "con")
    pyrun.ok("unpause", "con")
    inner = (place.directory / "pid").read_text().strip()
    assert pyrun.ok("exec", "con", "sh", "-c", f"cut -d' ' -f3 /proc/{inner}/stat") == "T"


def test_two_at_once(place: Place) -> None:
    pyrun = place.box.pyrun
    place.start()
    for verb in ("pause", "unpause"):
        both = [pyrun.popen(verb, "con", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        codes = []
        for process in both:
            with process:
                errors = process.communicate(timeout=60)[1]
                codes.append(process.returncode)
                assert process.returncode == 0 or b"paused" in errors
        assert sorted(codes) == [0, 1]


def test_exec_that_had_looked_before_is_paused_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is started in a container that was paused meanwhile: it must not run there."""
    pyrun = place.box.pyrun
    place.start()
    directory = str(pyrun.root / "containers" / place.box.inspect("con")["Id"])
    before = state.status(directory)
    pyrun.ok("pause", "con")
    monkeypatch.setattr(state, "status", lambda _: before)
    layout = Layout.default(str(pyrun.root), pyrun.environment)
    script = COUNT.format(name="late")
    engine_exec.exec_(layout, ExecOptions("con", ["sh", "-c", script], detach=True))
    monkeypatch.undo()
    assert place.is_still()
    assert not (place.directory / "late").exists() or place.is_still("late")
    pyrun.ok("unpause", "con")
    place.await_count(0, "late")


@requires("strace")
@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_killed_half_way(place: Place, verb: str) -> None:
    """Wherever the command is killed: paused is said if, and only if, nothing runs; and both verbs still work."""
    pyrun = place.box.pyrun
    place.start()
    for instant in instants(place, verb):
        if verb == "unpause":
            pyrun.ok("pause", "con")
        strace(place, instant, verb, "con")
        if place.box.status("con") == "paused":
            assert place.is_still()
            pyrun.ok("unpause", "con")
        else:
            pyrun("unpause", "con")  # perhaps half of it was stopped
        assert place.box.status("con") == "running"
        place.await_count(place.count())
        pyrun.ok("pause", "con")
        assert place.is_still()
        pyrun.ok("unpause", "con")


def instants(place: Place, verb: str) -> list[str]:
    """The writing calls of one run of the verb, as strace's options that kill there."""
    if verb == "unpause":
        place.box.pyrun.ok("pause", "con")
    trace = place.directory / "trace"
    calls = "write,pwrite64,mkdir,rmdir,ftruncate,pidfd_send_signal"
    strace(place, f"-o {trace} -e trace={calls}", verb, "con")
    if verb == "pause":
        place.box.pyrun.ok("unpause", "con")
    found: dict[str, int] = {}
    options = []
    for line in trace.read_text().splitlines():
        name = line.partition("(")[0]
        found[name] = found.get(name, 0) + 1
        options.append(f"-o /dev/null -e inject={name}:signal=SIGKILL:when={found[name]}")
    assert len(options) > 3
    return options


def strace(place: Place, options: str, *arguments: str) -> None:
    pyrun = place.box.pyrun
    argv = ["strace", "-qqq", "-e", "signal=none", *options.split(), *pyrun.program, *arguments]
    environment = pyrun.environment | {"PYTHONPATH": str(ROOT)}
    subprocess.run(argv, env=environment, cwd=pyrun.home, capture_output=True, timeout=60)
