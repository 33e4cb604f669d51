"""Health checks run by the monitor: when, as whom, and what is told of them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.engine.log_watch import Watch
from pyrun.runtime import compile as compiler
from pyrun.runtime import job, state
from pyrun.runtime.health_check import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.bundle import Bundle, Running

MILLISECOND = 1_000_000
FOREVER = 3_600_000 * MILLISECOND


def check(
    box: Bundle, *command: str, interval: int = 20 * MILLISECOND, timeout: int = FOREVER, start_period: int = 0,
    start_interval: int = FOREVER, retries: int = 3, changes: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Give the box's next containers a health check."""
    config = box.config(*command)
    config["process"] |= changes or {}
    plan = compiler.compile_exec(config["process"], box.filters)
    orders = Check(interval, timeout, start_period, start_interval, retries, "Too slow").encode(
        compiler.exec_flags(config), plan
    )

    def change(made: job.Job) -> None:
        made.health = orders

    box.job_changes = change


def health(box: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(box.directory, "health").read_text())
    return found


def until(box: Bundle, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the record meets a condition."""
    watch = Watch(box.directory, None, is_ephemeral=False, until=None)
    try:
        while not met(health(box)):
            assert not watch.wait(), "the container has ended"
        return health(box)
    finally:
        watch.close()


def results(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: len(found["Log"]) >= count


def end(running: Running) -> None:
    running.kill()
    running.wait()


def test_starting_then_healthy(box: Bundle) -> None:
    check(box, "sh", "-c", "echo out; echo err >&2; read line; echo [$line]")
    running = box.start("sleep", "1000")
    assert health(box)["Status"] == "starting", "before anybody hears that it runs"
    found = until(box, results(1))
    assert found["Status"] == "healthy"
    assert found["FailingStreak"] == 0
    (result,) = found["Log"][:1]
    assert list(result) == ["Start", "End", "ExitCode", "Output"]
    assert result["Start"] < result["End"]
    assert (result["ExitCode"], result["Output"]) == (0, "out\nerr\n[]\n"), "both streams in order; no input"
    end(running)
    assert not os.path.exists(box.directory + "/health.tmp")


def test_so_many_failures_in_a_row(box: Bundle) -> None:
    check(box, "sh", "-c", "[ -e /well ] || { echo ill; exit 7; }", retries=3)
    running = box.start("sleep", "1000")
    seen: list[tuple[str, int]] = []
    watch = Watch(box.directory, None, is_ephemeral=False, until=None)
    while not seen or seen[-1][1] < 4:
        now = health(box)
        if not seen or seen[-1] != (now["Status"], now["FailingStreak"]):
            seen.append((now["Status"], now["FailingStreak"]))
        else:
            watch.wait()
    watch.close()
    expected = [("starting", 0), ("starting", 1), ("starting", 2), ("unhealthy", 3), ("unhealthy", 4)]
    assert set(seen) <= set(expected)
    assert seen[-1] == expected[-1]
    assert health(box)["Log"][0]["ExitCode"] == 7
    box.exec(running, "touch", "/well")
    assert until(box, lambda found: found["Status"] == "healthy")["FailingStreak"] == 0
    box.exec(running, "rm", "/well")
    found = until(box, lambda found: found["FailingStreak"] == 1)
    assert found["Status"] == "healthy", "one failure does not make it ill"
    end(running)


def test_five_results_are_kept(box: Bundle) -> None:
    check(box, "sh", "-c", "echo >> /count; wc -l < /count", interval=MILLISECOND)
    running = box.start("sleep", "1000")
    found = until(box, lambda found: len(found["Log"]) == 5 and int(found["Log"][-1]["Output"]) > 7)
    numbers = [int(result["Output"]) for result in found["Log"]]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    end(running)


def test_much_output_is_read_and_little_kept(box: Bundle) -> None:
    check(box, "sh", "-c", r"printf '\377<'; head -c 3000000 /dev/zero | tr '\0' x; exit 3", interval=MILLISECOND)
    running = box.start("sleep", "1000")
    (result, *_) = until(box, results(2))["Log"]
    assert result["ExitCode"] == 3
    assert result["Output"] == "\ufffd<" + 4094 * "x" + "..."
    end(running)


def test_one_that_takes_too_long_is_killed(box: Bundle) -> None:
    check(box, "sh", "-c", "echo begun; sleep 12345 & sleep 12345", timeout=100 * MILLISECOND, interval=MILLISECOND)
    running = box.start("sleep", "1000")
    found = until(box, results(2))
    assert [(item["ExitCode"], item["Output"]) for item in found["Log"][:2]] == [(-1, "Too slow: begun\n")] * 2
    # At most the one that runs now; no heap of sleepers.
    listed = box.exec(running, "sh", "-c", "ps | grep -c '[s]leep 12345'").out
    assert int(listed) <= 2
    end(running)


def test_silence_that_takes_too_long(box: Bundle) -> None:
    check(box, "sleep", "1000", timeout=MILLISECOND, interval=MILLISECOND, retries=1)
    running = box.start("sleep", "1000")
    found = until(box, lambda found: found["Status"] == "unhealthy")
    assert found["Log"][0]["Output"] == "Too slow"
    end(running)


def test_within_its_start_period_it_cannot_fail(box: Bundle) -> None:
    check(
        box, "false", interval=FOREVER, start_period=FOREVER, start_interval=5 * MILLISECOND, retries=1
    )  # the interval would never come: it is the start interval that counts
    running = box.start("sleep", "1000")
    found = until(box, results(5))
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)
    end(running)


def test_once_healthy_its_start_period_is_over(box: Bundle) -> None:
    script = "[ -e /once ] && exit 1; touch /once"
    check(box, "sh", "-c", script, start_period=FOREVER, start_interval=MILLISECOND, retries=2, interval=MILLISECOND)
    running = box.start("sleep", "1000")
    assert until(box, lambda found: found["Status"] == "unhealthy")["FailingStreak"] >= 2
    end(running)


def test_a_command_that_is_not_there(box: Bundle) -> None:
    check(box, "not-there", retries=1)
    running = box.start("sleep", "1000")
    found = until(box, lambda found: found["Status"] == "unhealthy")
    assert found["Log"][0]["ExitCode"] == -1
    assert found["Log"][0]["Output"] == "cannot run the health check: execve: No such file or directory"
    end(running)


def test_it_is_a_process_of_the_container(box: Bundle) -> None:
    uid = 0 if box.engine.size == 1 else 1000
    script = (
        "id -u; echo $A; pwd; hostname; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:|SigIgn|SigBlk' /proc/self/status"
    )
    script += "; ls /proc/self/fd"
    config = box.config("sleep", "1000", uid=uid)
    config["process"] |= {"env": ["PATH=/bin", "A=b"], "cwd": "/tmp"}
    check(box, "sh", "-c", script, changes={**config["process"], "args": ["sh", "-c", script]})
    running = box.start(config=config)
    words = until(box, results(1))["Log"][0]["Output"].split()
    told = box.exec(
        running, "sh", "-c", script, changes={**config["process"], "args": ["sh", "-c", script]}
    ).out.split()
    assert words == told, "as `exec`"
    assert words[:4] == [str(uid), "b", "/tmp", "box"]
    end(running)


def test_the_end_of_the_container_ends_a_check(box: Bundle) -> None:
    check(box, "sh", "-c", "echo begun > /begun; exec sleep 1000", interval=MILLISECOND)
    running = box.start("sh", "-c", "mkfifo /begun; read line < /begun; echo $line; exit 4")
    before = health(box)
    result = running.wait()
    assert (result.code, result.out) == (4, "begun\n")
    assert health(box) == before, "what the end of the container does to it is no result"


def test_a_killed_monitor_takes_a_check_along(box: Bundle) -> None:
    check(box, "sh", "-c", "echo $$ > /begun; exec sleep 1000", interval=MILLISECOND)
    running = box.start("sh", "-c", "mkfifo /begun; read line < /begun; echo up; sleep 1000")
    running.until(b"up\n")
    running.kill_monitor()  # the fixture sees that no process is left
    now = state.status(box.directory)
    assert (now.status, now.exit_code) == ("exited", 137)


def test_each_run_begins_with_starting(box: Bundle) -> None:
    Path(box.directory, "restart").write_text("always 0\n")
    check(box, "sh", "-c", "[ ! -e /second ]", interval=MILLISECOND, retries=1)
    running = box.start("sh", "-c", "mkfifo /go; read line < /go; touch /second; exit 1")
    until(box, lambda found: found["Status"] == "healthy")
    box.exec(running, "sh", "-c", "echo > /go")
    found = until(box, lambda found: found["Status"] == "unhealthy")
    assert {result["ExitCode"] for result in found["Log"]} == {0, 1}, found
    now = state.status(box.directory)
    os.kill(now.monitor, signal.SIGTERM)
    os.kill(state.status(box.directory).pid, signal.SIGKILL)
    running.wait()


def test_checks_leave_nothing_in_the_monitor(box: Bundle) -> None:
    check(box, "sh", "-c", "echo >> /count; wc -l < /count", interval=MILLISECOND)
    running = box.start("sleep", "1000")

    def descriptors() -> set[str]:
        """Of a moment between two checks."""
        directory = f"/proc/{running.monitor_pid}/fd"
        while True:
            found = sorted(os.listdir(directory))
            if found == sorted(os.listdir(directory)) and len(found) < 16:
                return set(found)

    until(box, results(3))
    before = descriptors()
    until(box, lambda found: int(found["Log"][-1]["Output"]) > 20)
    assert len(descriptors()) <= len(before) + 3, "but for the pipes of the check that runs"
    end(running)


def test_none_where_none_is_wanted(box: Bundle) -> None:
    assert box.sh("exit 0").code == 0
    assert not os.path.exists(box.directory + "/health")


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:100], lambda b: b[:112] + b"x" * 40]
)
def test_spoilt_orders_are_refused(box: Bundle, spoil: Callable[[bytes], bytes]) -> None:
    check(box, "true")
    inner = box.job_changes

    def change(orders: job.Job) -> None:
        inner(orders)
        orders.health = spoil(orders.health)

    box.job_changes = change
    with pytest.raises(Exception, match="job: invalid argument"):
        box.run("true")


def test_no_end_of_a_run_is_a_result(box: Bundle) -> None:
    """A check that is under way when the container ends is killed, or cannot join any more."""
    Path(box.directory, "restart").write_text("on-failure 3\n")
    check(box, "sh", "-c", "sleep 0.002", interval=MILLISECOND)
    running = box.start("sh", "-c", "sleep 0.05; exit 1")
    seen = set()
    watch = Watch(box.directory, None, is_ephemeral=False, until=None)
    while not watch.wait():
        seen |= {result["ExitCode"] for result in health(box)["Log"]}
    watch.close()
    running.wait_monitor()
    assert seen == {0}
