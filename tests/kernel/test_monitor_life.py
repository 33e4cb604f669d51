"""What the monitor owes whom: lock, state, exit record; and the container's end when it is killed itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.errors import CommandNotFoundError, KernelError, SyscallError
from pyrun.runtime import job, launch, state
from pyrun.runtime.plan import OP_CHDIR
from pyrun.store import fsio, sealed_lines

if TYPE_CHECKING:
    from pyrun.runtime.plan import Plan
    from tests.support.bundle import Bundle, Running


def seconds(box: Bundle) -> str:
    """Return how long this test's sleepers sleep: by that they are told from every other process."""
    return str(10_000_000 + zlib.crc32(box.base.encode()) % 10_000_000)


def sleepers(box: Bundle) -> list[int]:
    """Pids of the processes that this test's container runs, whatever ids they have (cmdline is readable)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{name}/cmdline").read_bytes() == f"sleep\0{seconds(box)}\0".encode():
                    found.append(int(name))
    return found


def gone(pidfds: list[int]) -> bool:
    """Wait until all of them have ended."""
    for fd in pidfds:
        if not select.select([fd], [], [], 30)[0]:
            return False
        os.close(fd)
    return True


def lock_of(path: str) -> int:
    """The kernel's own answer, without our native code: the type of a conflicting lock."""
    with open(path, "rb") as file:
        asked = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0)
        return int(struct.unpack_from("h", fcntl.fcntl(file, 36, asked))[0])  # F_OFD_GETLK


def end(running: Running) -> None:
    running.kill()
    running.wait()


def test_lock_state_and_exit_record(box: Bundle) -> None:
    assert state.status(box.directory).status == "created"
    running = box.start("sleep", "1000")
    now = state.status(box.directory)
    assert now.status == "running"
    assert (now.pid, now.starttime) == (running.pid, state.start_time(running.pid))
    assert now.starttime > 0
    assert now.monitor_starttime == state.start_time(now.monitor) > 0
    assert Path(f"/proc/{now.monitor}/comm").read_text() == "pyrun-monitor\n"
    record = Path(box.directory, "state").read_text()
    assert state.boot_id() in record
    assert os.listdir(box.directory + "/upper") is not None
    assert Path(box.directory, "exit").read_bytes() == bytes(64)
    end(running)
    slot = Path(box.directory, "exit").read_bytes()
    assert len(slot) == 64
    text = slot.partition(b"\n")[0].decode()
    assert sealed_lines.is_sound_slot(slot, sealed=True)
    assert text.startswith("1 137 0 20")
    assert text.endswith("Z")
    now = state.status(box.directory)
    assert (now.status, now.exit_code, now.pid, now.oom) == ("exited", 137, 0, False)
    assert now.started < now.finished


def test_the_lock_is_the_monitors_alone(box: Bundle) -> None:
    path = box.directory + "/lock"
    assert lock_of(path) == fcntl.F_UNLCK
    running = box.start("sleep", "1000")
    # Neither asking nor closing, nor a lock of another kind by ourselves, disturbs it.
    for _ in range(100):
        assert state.is_locked(box.directory)
    with open(path, "r+b") as file:
        with pytest.raises(BlockingIOError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX)
    assert lock_of(path) == fcntl.F_WRLCK
    end(running)
    assert not state.is_locked(box.directory)
    assert not state.is_locked("/not/there")


def test_a_second_monitor_is_refused_and_changes_nothing(box: Bundle) -> None:
    running = box.start("sleep", "1000")
    before = Path(box.directory, "state").read_bytes()
    with pytest.raises(SyscallError, match="OFD_SETLK") as caught:
        box.run("true")
    assert caught.value.hint == "it is running already"
    assert Path(box.directory, "state").read_bytes() == before
    client = launch.connect(box.socket)
    assert client.receive()[0] == "H"
    client.close()
    end(running)


@pytest.mark.parametrize("flags", [0, job.EPHEMERAL])
def test_what_is_being_copied_is_not_started(box: Bundle, flags: int) -> None:
    """Whoever has just looked and found no `cp`: two mounts of one upper directory must not be."""

    def change(orders: job.Job) -> None:
        orders.flags |= flags
        orders.remove = [box.directory] if flags else []

    box.job_changes = change
    copying = box.directory + "/copying"
    with fsio.FileLock(copying, exclusive=True):
        with pytest.raises(SyscallError, match="copying"):
            box.run("true")
        assert state.status(box.directory).status == "created"
        assert not state.is_locked(box.directory)
    box.job_changes = lambda orders: None
    with fsio.FileLock(copying, exclusive=False):  # a client that has waited for it
        assert box.run("true").code == 0


def test_a_start_that_fails_is_no_run(box: Bundle) -> None:
    with pytest.raises(CommandNotFoundError):
        box.run("not-there")
    assert state.status(box.directory).status == "created"
    assert not os.path.exists(box.directory + "/state")
    assert not os.path.exists(box.socket)
    assert box.run("true").code == 0


def test_a_new_start_forgets_the_last_end(box: Bundle) -> None:
    assert box.sh("exit 3").code == 3
    assert state.status(box.directory).exit_code == 3
    running = box.start("sleep", "1000")
    assert state.status(box.directory).status == "running"
    running.kill_monitor()
    now = state.status(box.directory)
    assert (now.status, now.exit_code) == ("exited", 137), "the exit record of an earlier run must not be believed"


def test_kill_of_the_monitor_takes_the_container_along(box: Bundle) -> None:
    running = box.start("sleep", seconds(box))
    assert len(sleepers(box)) == 1
    pidfd = os.pidfd_open(running.pid)
    running.kill_monitor()
    assert gone([pidfd])
    assert state.status(box.directory).status == "exited"


@pytest.mark.parametrize("init", [False, True])
def test_also_when_its_init_changed_uid_and_children_are_daemons(box: Bundle, init: bool) -> None:
    # PDEATHSIG alone would not do: it is cleared when a process changes its uid, as every database's image does.
    box.init = init
    uid = 0 if box.engine.size == 1 else 1000
    sleep = f"sleep {seconds(box)}"
    script = f"setsid setsid {sleep} & (trap '' HUP TERM; setsid {sleep} &) ; sleep 0.1; exec {sleep}"
    config = box.config("sh", "-c", script, uid=uid)
    running = box.start(config=config)
    while len(sleepers(box)) < 3:
        assert not select.select([running.monitor.fd], [], [], 0.02)[0] or running.take()
    pidfds = [os.pidfd_open(pid) for pid in [*sleepers(box), running.pid]]
    running.kill_monitor()
    assert gone(pidfds)
    assert sleepers(box) == []


def test_the_end_of_init_ends_all_others(box: Bundle) -> None:
    result = box.sh(f"setsid sleep {seconds(box)} & exit 7")
    assert result.code == 7
    assert sleepers(box) == []


def test_until_its_init_is_gone_a_container_without_monitor_runs(box: Bundle) -> None:
    # The lock is let go before the kernel has ended the namespace: that moment, made to last.
    running = box.start("sleep", "1000")
    record = Path(box.directory, "state").read_text()
    end(running)
    Path(box.directory, "exit").write_bytes(bytes(64))
    ours = record.replace(f'"pid":{running.pid},"starttime":', f'"pid":{os.getpid()},"starttime":')
    head, _, tail = ours.partition('"starttime":')
    alive = f'{head}"starttime":{state.start_time(os.getpid())},{tail.partition(",")[2]}'
    Path(box.directory, "state").write_text(alive)
    assert state.status(box.directory).status == "running"
    Path(box.directory, "state").write_text(alive.replace(state.boot_id(), "another-boot"))
    assert state.status(box.directory).status == "exited"


def network(box: Bundle, *argv: str, ready_fd: bool = False) -> None:
    box.flags |= job.NETWORK | (job.NETWORK_READY_FD if ready_fd else 0)

    def change(orders: job.Job) -> None:
        orders.network_argv = list(argv)

    box.job_changes = change


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_client_that_dies_before_the_start_leaves_nothing(box: Bundle) -> None:
    # The network program never gets ready, so the start hangs; then its client dies.
    network(box, "/bin/busybox", "sleep", seconds(box), ready_fd=True)
    monitor, _ = box.launch(box.config("true"))
    assert monitor.receive()[0] == "H"
    monitor.close()
    assert monitor.process is not None
    assert monitor.process.wait() == 0
    assert sleepers(box) == []
    assert state.status(box.directory).status == "created"
    assert not state.is_locked(box.directory)


def test_a_client_that_dies_later_leaves_a_container(box: Bundle) -> None:
    running = box.start("sleep", "1000")
    running.monitor.close()
    client = launch.connect(box.socket)
    assert client.receive()[0] == "H"
    assert state.status(box.directory).status == "running"
    running.kill()
    assert client.receive()[0] == "X"
    client.close()
    assert running.monitor.process is not None
    running.monitor.process.wait()


def test_an_init_killed_before_its_program_is_no_start(box: Bundle) -> None:
    network(box, "/bin/busybox", "sleep", "1000", ready_fd=True)
    monitor, plan = box.launch(box.config("true"))
    assert monitor.receive()[0] == "H"
    assert monitor.process is not None
    init: list[int] = []
    while not init:
        init = [
            pid for pid in children(monitor.process.pid) if Path(f"/proc/{pid}/comm").read_text() == "pyrun:[init]\n"
        ]
    while not all(Path(f"/proc/{init[0]}/{name}").read_text() for name in ("uid_map", "gid_map")):
        pass  # before that it is the map that cannot be written
    os.kill(init[0], 9)
    with pytest.raises(KernelError, match="was killed before it could execute the program"):
        launch.wait_started(monitor, plan, "true")
    monitor.close()
    assert state.status(box.directory).status == "created"


def test_a_network_program_that_fails_is_quoted(box: Bundle) -> None:
    network(box, "/bin/busybox", "sh", "-c", "echo no tun here >&2; exit 3")
    with pytest.raises(KernelError, match="cannot set up the network: no tun here"):
        box.run("true")


@pytest.mark.parametrize("how", ["exit 1", "exec >&3; exec 3>&-; sleep 1000", "kill -9 $$", "exec 3>&-; kill -9 $$"])
def test_a_network_program_that_never_gets_ready_ends_the_start(box: Bundle, how: str) -> None:
    network(box, "/bin/busybox", "sh", "-c", how.replace("exec >&3; ", "exec 1>&-; "), ready_fd=True)
    with pytest.raises(KernelError, match="cannot set up the network"):
        box.run("true")


def test_a_network_program_gets_ready_by_word_or_by_exit(box: Bundle) -> None:
    network(box, "/bin/busybox", "sh", "-c", "echo {pid} >&{ready}; exec sleep 1000", ready_fd=True)
    assert box.run("true").code == 0
    box.fresh_records()
    box.flags = job.LOG
    network(box, "/bin/busybox", "sh", "-c", f"setsid sleep {seconds(box)} & exit 0")
    assert box.run("true").code == 0
    assert sleepers(box) == [], "a daemon of the network's ends with the monitor"


def test_the_network_program_inherits_nothing(box: Bundle) -> None:
    network(box, "/bin/busybox", "sh", "-c", "ls -l /proc/$$/fd >&2; grep Sig /proc/$$/status >&2; exit 9")
    with pytest.raises(KernelError) as caught:
        box.run("true")
    assert "SigIgn" in str(caught.value) or "SigCgt" in str(caught.value)


def test_the_death_of_the_network_program_does_not_end_a_container(box: Bundle) -> None:
    network(box, "/bin/busybox", "sh", "-c", "echo >&3; read x < /dev/null; exit 1", ready_fd=True)
    assert box.sh("sleep 0.2; echo on").out == "on\n"


def test_an_ephemeral_container_leaves_nothing(box: Bundle) -> None:
    name, live, extra = box.base + "/name", box.base + "/live/" + box.id, box.base + "/extra"
    os.makedirs(extra + "/deep/er")
    os.symlink(f"{box.id}/token", extra + "/owner")
    os.mkdir(box.base + "/others")  # a volume that somebody else has asked for
    os.symlink("../containers/" + box.id, name)
    os.symlink(box.directory, live)
    outside = box.base + "/outside"
    os.mkdir(outside)
    Path(outside, "file").write_text("not ours")
    os.symlink(outside, extra + "/deep/link")

    def ephemeral(orders: job.Job) -> None:
        orders.flags |= job.EPHEMERAL
        orders.name_link, orders.live_link, orders.remove = name, live, [box.directory, extra, box.base + "/others"]
        orders.retired = box.base + "/retired"

    box.job_changes = ephemeral
    box.sh("mkdir -p /a/b; chmod 000 /a; touch /x; ln -s / /loop")
    assert not any(os.path.lexists(path) for path in (name, extra, box.directory, box.base + "/retired"))
    assert os.path.lexists(live), "a link that names another container is not ours to take"
    assert os.listdir(outside) == ["file"]
    assert os.path.isdir(box.base + "/others")
    os.makedirs(box.directory)


def test_init_starts_reaps_and_hands_on_signals(box: Bundle) -> None:
    box.init = True
    # An orphan that has ended: the pipe that it alone holds says so.
    orphan = "mkfifo /tmp/f; (sh -c 'exec 9>/tmp/f; sleep 0.05' &); read x < /tmp/f"
    running = box.start(
        "sh", "-c", f"trap 'echo term; exit 9' TERM; {orphan}; echo pid $$; while :; do sleep 0.05; done"
    )
    running.until(b"pid 2")
    reaped = "while grep -q 'State:.Z' $(ls -d /proc/[0-9]*/status); do :; done"
    assert box.exec(running, "timeout", "10", "sh", "-c", reaped).code == 0
    running.kill(15)
    result = running.wait()
    assert (result.code, "term" in result.out) == (9, True), result


def test_init_reports_what_its_command_ended_with(box: Bundle) -> None:
    box.init = True
    assert box.sh("exit 6").code == 6
    box.fresh_records()
    assert box.sh("kill -9 $$").code == 137


def test_init_leaves_signals_and_descriptors_as_they_should_be(box: Bundle) -> None:
    box.init = True
    text = box.run("cat", "/proc/self/status").out
    masks = {line.split()[0]: line.split()[1] for line in text.splitlines() if line.startswith("Sig")}
    assert int(masks["SigBlk:"], 16) == int(masks["SigIgn:"], 16) == 0
    box.fresh_records()
    assert box.sh("ls /proc/$$/fd; true").out.split() == ["0", "1", "2"]


def test_init_on_a_terminal_gives_it_to_the_command(box: Bundle) -> None:
    box.init = True
    box.flags |= job.STDIN
    running = box.start("sh", "-c", "echo ready; read x; echo got $x", terminal=True)
    running.until(b"ready")
    running.monitor.send("I", b"word\n")
    assert running.wait().out.endswith("got word\r\n")


def test_a_failing_step_is_told_with_its_object(box: Bundle) -> None:
    config = box.config("true")

    def elsewhere(plan: Plan) -> None:
        (step,) = (step for step in plan.steps if step.op == OP_CHDIR)
        step.strings = ("/none",)

    box.plan_changes = elsewhere
    with pytest.raises(CommandNotFoundError, match="cannot change to directory /none: no such file or directory"):
        box.run(config=config)


def test_the_callers_directory_is_not_kept_busy(box: Bundle) -> None:
    running = box.start("sleep", "1000")
    links = {os.readlink(f"/proc/{running.monitor_pid}/{name}") for name in ("cwd",)}
    end(running)
    assert links == {"/"}
