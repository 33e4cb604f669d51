"""A monitor whose container has a restart policy: several runs, one lock, and an end at any time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.runtime import job, launch, state

if TYPE_CHECKING:
    from tests.support.bundle import Bundle, Running


def policy(box: Bundle, text: str) -> None:
    Path(box.directory, "restart").write_text(text + "\n")


def frames(running: Running, wanted: str, count: int) -> bytes:
    """Take frames until `count` of a kind have come; return the output that came with them."""
    found, out = 0, b""
    while found < count:
        kind, content = running.monitor.receive()
        assert kind, f"the monitor ended: {out!r}"
        found += kind == wanted
        out += content if kind == "O" else b""
    return out


def end(running: Running) -> None:
    """What `rm -f` does."""
    now = state.status(running.bundle.directory)
    os.kill(now.monitor, signal.SIGTERM)
    now = state.status(running.bundle.directory)
    if now.status == "running":
        os.kill(now.pid, signal.SIGKILL)
    running.wait()


def test_on_failure_ends_after_its_maximum(box: Bundle) -> None:
    policy(box, "on-failure 2")
    running = box.start("sh", "-c", "echo run; exit 3")
    out = frames(running, "X", 3)
    assert running.wait_monitor() == 0
    assert out == b"run\n" * 3
    now = state.status(box.directory)
    assert (now.status, now.exit_code, now.restarts) == ("exited", 3, 2)
    assert [record["log"] for record in box.log()] == ["run\n"] * 3
    assert not os.path.exists(box.socket)


@pytest.mark.parametrize(("text", "code"), [("on-failure 0", 0), ("no 0", 3), ("", 3), ("never 3", 3)])
def test_no_further_run(box: Bundle, text: str, code: int) -> None:
    policy(box, text)
    assert box.sh(f"exit {code}").code == code
    now = state.status(box.directory)
    assert (now.status, now.exit_code, now.restarts) == ("exited", code, 0)


def test_each_run_is_fresh_and_keeps_the_files(box: Bundle) -> None:
    policy(box, "always 0")
    script = "echo >> /runs; wc -l < /runs; hostname; hostname other; mount | grep -c ' /proc '"
    running = box.start("sh", "-c", script)
    lines = frames(running, "X", 3).decode().split("\n")
    end(running)
    rows = [lines[at : at + 3] for at in range(0, 9, 3)]
    assert [row[0] for row in rows] == ["1", "2", "3"], "the overlay was mounted again on the same upper directory"
    assert [row[1] for row in rows] == ["box"] * 3
    assert len({row[2] for row in rows}) == 1, "no mount is left over from the run before"


def test_the_lock_is_held_and_the_state_told_all_the_time(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "exit 5")
    frames(running, "X", 4)  # the next run is 800 ms away
    assert state.is_locked(box.directory)
    now = state.status(box.directory)
    assert (now.status, now.exit_code, now.pid) == ("restarting", 5, 0)
    assert now.restarts >= 4
    assert now.started < now.finished
    assert now.monitor_starttime == state.start_time(now.monitor)
    end(running)
    later = state.status(box.directory)
    assert (later.status, later.exit_code, later.restarts) == ("exited", 5, now.restarts)
    assert not state.is_locked(box.directory)


def test_it_can_be_ended_while_it_waits(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "echo run; exit 5")
    out = frames(running, "X", 5)  # the next run is 1.6 s away
    os.kill(running.monitor_pid, signal.SIGTERM)
    result = running.wait()
    assert result.code == 5
    assert out + result.out.encode() == b"run\n" * 5, "it was not run once more"


def test_sigterm_before_the_end_keeps_it_from_another_run(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "trap 'exit 6' USR1; echo up; while :; do sleep 0.05; done")
    running.until(b"up\n")
    os.kill(running.monitor_pid, signal.SIGTERM)
    os.kill(running.pid, signal.SIGUSR1)
    assert running.wait().code == 6
    assert state.status(box.directory).restarts == 0


def test_the_wish_may_change_while_it_runs(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "echo run; sleep 1000")
    running.until(b"run\n")
    policy(box, "no 0")
    running.kill()
    assert running.wait().code == 137
    policy(box, "no 0")
    running = box.start("sh", "-c", "[ -e /again ] && exit 4; touch /again; echo run; sleep 1000")
    running.until(b"run\n")
    policy(box, "on-failure 1")
    running.kill()
    frames(running, "X", 2)
    running.wait_monitor()
    now = state.status(box.directory)
    assert (now.exit_code, now.restarts) == (4, 1)


def test_a_killed_monitor_takes_every_run_along(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "[ -e /second ] && exec sleep 1000; touch /second; exit 1")
    frames(running, "S", 1)
    now = state.status(box.directory)
    assert now.status == "running"
    running.kill_monitor()
    assert state.start_time(now.pid) != now.starttime
    now = state.status(box.directory)
    assert (now.status, now.exit_code) == ("exited", 137), "the record of the first run says nothing of the second"
    assert now.finished


def test_a_monitor_killed_while_it_waits_leaves_the_last_end(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "exit 5")
    frames(running, "X", 4)
    assert state.status(box.directory).status == "restarting"
    running.kill_monitor()
    now = state.status(box.directory)
    assert (now.status, now.exit_code) == ("exited", 5)
    policy(box, "no 0")
    assert box.sh("exit 0").code == 0


def test_a_program_that_is_gone_is_a_failed_run(box: Bundle) -> None:
    policy(box, "on-failure 2")
    box.program("once", "rm /bin/once; exit 3")
    running = box.start("once")
    frames(running, "X", 3)
    running.wait_monitor()
    now = state.status(box.directory)
    assert (now.status, now.exit_code, now.restarts) == ("exited", 127, 2)


def network(box: Bundle, script: str) -> None:
    box.flags |= job.NETWORK | job.NETWORK_READY_FD

    def change(orders: job.Job) -> None:
        orders.network_argv = ["/bin/busybox", "sh", "-c", script]

    box.job_changes = change


def test_the_network_program_is_started_again(box: Bundle) -> None:
    policy(box, "on-failure 1")
    log = f"{box.base}/network"
    # The first one ignores that its container ends, as a daemon would; and it is gone before the second one starts.
    network(box, f"read p < {log} && kill -0 $p && echo alive >> {log}; echo $$ {{pid}} >> {log}; echo >&{{ready}}\n"
                 "trap '' TERM HUP; while :; do sleep 1000; done")  # fmt: skip
    running = box.start("sh", "-c", "exit 1")
    frames(running, "X", 2)
    running.wait_monitor()
    (_, first), (_, second) = (line.split() for line in Path(log).read_text().splitlines())
    assert int(first) == running.pid
    assert first != second, "it serves the first process of the second run"


def test_a_second_start_that_hangs_can_be_ended(box: Bundle) -> None:
    policy(box, "always 0")
    os.mkfifo(f"{box.base}/fifo")
    network(box, f"if [ -e {box.base}/first ]; then echo > {box.base}/fifo; exec sleep 1000; fi\n"
                 f"touch {box.base}/first; echo >&{{ready}}; exec sleep 1000")  # fmt: skip
    running = box.start("sh", "-c", "exit 5")
    with open(f"{box.base}/fifo", "rb") as fifo:
        assert fifo.read() == b"\n"
    assert state.status(box.directory).status == "restarting"
    os.kill(running.monitor_pid, signal.SIGTERM)
    running.wait()
    now = state.status(box.directory)
    assert (now.status, now.exit_code, now.restarts) == ("exited", 5, 1)


def test_a_terminal_and_its_size_come_again(box: Bundle) -> None:
    policy(box, "on-failure 1")

    def change(orders: job.Job) -> None:
        orders.rows, orders.columns = 24, 80

    box.job_changes = change
    running = box.start("sh", "-c", "read go; stty size; exit 1", terminal=True)
    running.monitor.send("W", (30).to_bytes(2, "little") + (90).to_bytes(2, "little"))
    running.monitor.send("I", b"\n")
    first = frames(running, "X", 1)
    frames(running, "S", 1)
    running.monitor.send("I", b"\n")
    second = frames(running, "X", 1)
    running.wait_monitor()
    assert b"30 90" in first
    assert b"30 90" in second


def test_input_comes_anew(box: Bundle) -> None:
    policy(box, "on-failure 1")
    box.flags |= job.STDIN
    running = box.start("sh", "-c", "cat; exit 1")
    running.monitor.send("I", b"first\n")
    running.monitor.send("C")
    assert frames(running, "X", 1) == b"first\n"
    frames(running, "S", 1)
    running.monitor.send("I", b"second\n")
    running.monitor.send("C")
    assert frames(running, "X", 1) == b"second\n"
    running.wait_monitor()


def test_an_unfinished_line_belongs_to_its_run(box: Bundle) -> None:
    policy(box, "on-failure 1")
    running = box.start("sh", "-c", "printf part; exit 1")
    frames(running, "X", 2)
    running.wait_monitor()
    assert [record["log"] for record in box.log()] == ["part", "part"]


def test_runs_leave_no_descriptor_in_the_monitor(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "exit 1")

    def open_fds() -> list[str]:
        directory = f"/proc/{running.monitor_pid}/fd"
        return sorted(os.readlink(f"{directory}/{name}").partition(":[")[0] for name in os.listdir(directory))

    frames(running, "X", 2)
    before = open_fds()
    frames(running, "X", 2)
    assert open_fds() == before
    end(running)


def test_clients_come_and_go_while_it_waits(box: Bundle) -> None:
    policy(box, "always 0")
    running = box.start("sh", "-c", "echo run; exit 5")
    frames(running, "X", 4)
    running.monitor.close()
    client = launch.connect(box.socket)
    kinds = [client.receive()[0] for _ in range(4)]
    assert kinds == ["H", "S", "O", "X"]
    now = state.status(box.directory)
    os.kill(now.monitor, signal.SIGTERM)
    while client.receive()[0]:
        pass
    client.close()
    assert running.monitor.process is not None
    assert running.monitor.process.wait() == 0


def test_a_network_daemon_ends_with_its_run_in_a_shared_pid_namespace(box: Bundle) -> None:
    policy(box, "on-failure 1")
    log = f"{box.base}/network"
    box.flags |= job.NETWORK

    def change(orders: job.Job) -> None:
        script = (
            f"read p < {log} && kill -0 $p && echo alive >> {log}\nsh -c 'echo $$ > {log}.new; exec sleep 1000' &\n"
        )
        script += f"while ! [ -s {log}.new ]; do :; done; cat {log}.new >> {log}; rm {log}.new"
        orders.network_argv = ["/bin/busybox", "setsid", "sh", "-c", script]

    box.job_changes = change
    config = box.config("sh", "-c", "exit 1")
    config["linux"]["namespaces"] = [kind for kind in config["linux"]["namespaces"] if kind["type"] != "pid"]
    running = box.start(config=config)
    frames(running, "X", 2)
    running.wait_monitor()
    assert "alive" not in Path(log).read_text()
