"""Health checks on the command line: of an image, of options, and what is shown of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.engine import health
from pyrun.errors import ConflictError
from tests.support.boxes import push, wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

WELL = ("--health-cmd", "test -e /well", "--health-interval", "30ms", "--health-retries", "2")


def directory(box: Box, name: str) -> str:
    return str(Path(box.inspect(name)["HostsPath"]).parent)


def until(box: Box, name: str, condition: str) -> None:
    assert health.wait(directory(box, name), name, condition), "it has ended"


def test_from_starting_to_healthy_and_back(box: Box) -> None:
    box.start("checked", "--health-cmd", "cat /well", "--health-interval", "1h")
    assert "(health: starting)" in box.pyrun.ok("ps")
    assert box.inspect("checked")["State"]["Health"] == {"Status": "starting", "FailingStreak": 0, "Log": []}
    box.pyrun.ok("rm", "-f", "checked")
    box.start("checked", *WELL)
    until(box, "checked", "unhealthy")
    assert "(unhealthy)" in box.pyrun.ok("ps")
    assert box.names("--filter", "health=unhealthy") == ["checked"]
    assert box.names("--filter", "health=healthy") == []
    box.pyrun.ok("exec", "checked", "touch", "/well")
    until(box, "checked", "healthy")
    assert "(healthy)" in box.pyrun.ok("ps", "--format", "{{.Status}}")
    found = box.inspect("checked")
    state = found["State"]["Health"]
    assert (state["Status"], state["FailingStreak"], state["Log"][-1]["ExitCode"]) == ("healthy", 0, 0)
    assert 1 <= len(state["Log"]) <= 5
    assert found["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "test -e /well"], "Interval": 30_000_000, "Retries": 2,
    }  # fmt: skip
    box.pyrun.ok("stop", "-t", "0", "checked")
    assert box.inspect("checked")["State"]["Health"]["Status"] == "unhealthy", "docker: when its checks have ended"
    assert "health" not in box.pyrun.ok("ps", "-a")


def test_events_of_health(box: Box) -> None:
    box.start("checked", *WELL)
    until(box, "checked", "unhealthy")
    box.pyrun.ok("exec", "checked", "touch", "/well")
    until(box, "checked", "healthy")
    told = box.pyrun.ok("events", "--since", "5m", "--until", "0s", "--filter", "event=health_status")
    words = [line.partition("container ")[2].split(" ")[1] for line in told.splitlines()]
    assert words == ["unhealthy", "healthy"]


@pytest.fixture
def checked_image(box: Box, registry: str, tmp_path: Path) -> str:
    config: dict[str, Any] = {
        "Cmd": ["sleep", "1000"],
        "Healthcheck": {"Test": ["CMD", "test", "-e", "/well"], "Interval": 40_000_000, "Retries": 1},
    }
    return push(registry, tmp_path, "checked", config)


def run(box: Box, image: str, name: str, *options: str) -> Any:
    box.pyrun.ok("run", "-d", "--network", "none", "--name", name, *options, image)
    return box.inspect(name)["Config"]["Healthcheck"]


def test_the_images_check_and_what_changes_it(box: Box, checked_image: str) -> None:
    test = ["CMD", "test", "-e", "/well"]
    assert run(box, checked_image, "asis") == {"Test": test, "Interval": 40_000_000, "Retries": 1}
    until(box, "asis", "unhealthy")
    changed = run(box, checked_image, "often", "--health-retries", "7", "--health-start-period", "1m")
    assert changed == {"Test": test, "Interval": 40_000_000, "Retries": 7, "StartPeriod": 60_000_000_000}
    other = run(box, checked_image, "other", "--health-cmd", "true")
    assert other == {"Test": ["CMD-SHELL", "true"], "Interval": 40_000_000, "Retries": 1}
    until(box, "other", "healthy")
    assert run(box, checked_image, "none", "--no-healthcheck") == {"Test": ["NONE"]}
    assert "Health" not in box.inspect("none")["State"]
    assert box.names("--filter", "health=none") == ["none"]
    with pytest.raises(ConflictError, match="it has no health check"):
        health.wait(directory(box, "none"), "none", "healthy")


def test_the_images_shell(box: Box, registry: str, tmp_path: Path) -> None:
    check = {"Test": ["CMD-SHELL", "echo"], "Interval": 20_000_000}
    config: dict[str, Any] = {"Cmd": ["sleep", "1000"], "Shell": ["/bin/sh", "-xc"], "Healthcheck": check}
    run(box, push(registry, tmp_path, "shell", config), "shelled")
    until(box, "shelled", "healthy")
    assert box.inspect("shelled")["State"]["Health"]["Log"][0]["Output"] == "+ echo\n\n"


def test_a_paused_container_is_not_checked(box: Box) -> None:
    box.start("cold", "--health-cmd", "echo >> /count", "--health-interval", "20ms", "--health-timeout", "50ms")
    until(box, "cold", "healthy")
    box.pyrun.ok("pause", "cold")
    before = box.inspect("cold")["State"]["Health"]
    last = before["Log"][-1]
    # Several intervals and the time that a check may take: what a check would have needed to fail.
    with pytest.raises(TimeoutError):
        wait_pid_briefly(box.inspect("cold")["State"]["Pid"], 0.3)
    after = box.inspect("cold")["State"]["Health"]
    assert after["Log"][-1] == last
    assert after["FailingStreak"] == 0
    box.pyrun.ok("unpause", "cold")
    until(box, "cold", "healthy")


def wait_pid_briefly(pid: int, seconds: float) -> None:
    try:
        wait_pid(pid, seconds)
    except AssertionError:
        raise TimeoutError from None


def test_who_waits_hears_of_the_end(box: Box) -> None:
    box.start("ends", *WELL, command=("sh", "-c", "sleep 0.2; exit 5"))
    assert not health.wait(directory(box, "ends"), "ends", "healthy")


def test_of_a_rm_container(box: Box) -> None:
    box.start("brief", "--rm", *WELL)
    until(box, "brief", "unhealthy")
    place = directory(box, "brief")
    box.pyrun.ok("stop", "-t", "0", "brief")
    assert not os.path.exists(place)


def test_a_monitor_killed_while_it_checks(box: Box) -> None:
    box.start("dies", "--health-cmd", "sleep 1000", "--health-interval", "1ms")
    text = Path(directory(box, "dies"), "state").read_text()
    monitor = int(text.partition('"monitor":')[2].partition(",")[0])
    pid = box.inspect("dies")["State"]["Pid"]
    os.kill(monitor, signal.SIGKILL)
    wait_pid(monitor)
    wait_pid(pid)
    found = box.inspect("dies")["State"]
    assert (found["Status"], found["ExitCode"], found["Health"]["Status"]) == ("exited", 137, "unhealthy")
    box.pyrun.ok("start", "dies")
    assert "(health: starting)" in box.pyrun.ok("ps")


def test_a_monitor_killed_before_it_has_said_anything(box: Box) -> None:
    """Between the record that it runs and that of its health."""
    box.start("silent", "--health-cmd", "true")
    place = Path(directory(box, "silent"))
    box.pyrun.ok("kill", "silent")
    (place / "health").unlink()
    (place / "exit").write_bytes(bytes(64))
    found = box.inspect("silent")["State"]
    assert (found["Status"], found["ExitCode"]) == ("exited", 137)
    assert "Health" not in found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--health-interval", "soon"), "not a duration"),
        (("--health-interval", "-1s"), "--health-interval cannot be negative"),
        (("--health-timeout", "999us"), "Timeout in Healthcheck cannot be less than 1ms"),
        (("--health-retries", "-1"), "--health-retries cannot be negative"),
        (("--no-healthcheck", "--health-cmd", "true"), "--no-healthcheck conflicts with --health-* options"),
    ],
)
def test_what_is_refused(shared_box: Box, options: tuple[str, ...], words: str) -> None:
    assert words in shared_box.fails(125, *options)
    assert "invalid filter 'health=fine'" in shared_box.pyrun.fails(1, "ps", "--filter", "health=fine")
