"""Restart policies on the command line, and what should run after a boot."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import following, wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

RUNS = ("sh", "-c", "echo run; exit 3")


def ended(box: Box, name: str) -> None:
    """Wait until nothing starts the container any more: its monitor has gone."""
    pid = monitor(box, name)
    if pid:
        wait_pid(pid)


def monitor(box: Box, name: str) -> int:
    record = directory(box, name) / "state"
    found = re.search(r'"monitor":(\d+)', record.read_text())
    return int(found[1]) if found else 0


def directory(box: Box, name: str) -> Path:
    return Path(box.inspect(name)["HostsPath"]).parent


def test_on_failure_with_a_maximum(box: Box) -> None:
    box.start("tries", "--restart", "on-failure:2", command=RUNS)
    ended(box, "tries")
    found = box.inspect("tries")
    assert found["State"]["Status"] == "exited"
    assert found["State"]["ExitCode"] == 3
    assert found["RestartCount"] == 2
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert box.pyrun.ok("logs", "tries").split() == ["run"] * 3
    # A start by hand counts anew.
    box.pyrun.ok("start", "tries")
    ended(box, "tries")
    assert box.inspect("tries")["RestartCount"] == 2
    assert box.pyrun.ok("logs", "tries").split() == ["run"] * 6


def looping(box: Box, name: str, *options: str) -> None:
    """A container that fails at once, until its next run is more than a second away."""
    box.start(name, "--restart", "always", *options, command=RUNS)
    with following(box.pyrun, name) as lines:
        assert [next(lines) for _ in range(5)] == ["run"] * 5
    while box.status(name) != "restarting":
        pass


def test_what_is_said_of_one_that_waits(box: Box) -> None:
    looping(box, "loops")
    assert re.search(r"Restarting \(3\) .* ago", box.pyrun.ok("ps"))
    assert box.names("--filter", "status=restarting") == ["loops"]
    assert box.names("--filter", "restart-policy=always") == ["loops"]
    assert box.names("-a", "--filter", "restart-policy=no") == []
    found = box.inspect("loops")["State"]
    assert (found["Running"], found["Restarting"], found["Pid"], found["ExitCode"]) == (True, True, 0, 3)
    assert "it is restarting" in box.pyrun.fails(1, "exec", "loops", "true")
    assert "it is restarting" in box.pyrun.fails(1, "rm", "loops")
    assert box.pyrun.ok("start", "loops") == "loops"


def test_stop_ends_the_wait(box: Box) -> None:
    looping(box, "loops")
    assert box.pyrun.ok("stop", "loops") == "loops"
    found = box.inspect("loops")["State"]
    assert (found["Status"], found["ExitCode"]) == ("exited", 3)
    assert box.names() == []
    box.pyrun.ok("start", "loops")
    assert box.pyrun.ok("wait", "loops") == "3"
    assert box.pyrun.ok("kill", "loops") == "loops"
    assert box.status("loops") == "exited"


def test_rm_of_one_that_waits(box: Box) -> None:
    looping(box, "loops")
    assert box.pyrun.ok("rm", "-f", "loops") == "loops"
    assert box.names("-a") == []


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_who_is_ended_by_hand_stays_ended(box: Box, verb: str) -> None:
    box.start("stays", "--restart", "always", "--stop-signal", "KILL")
    box.pyrun.ok(verb, "stays")
    found = box.inspect("stays")
    assert (found["State"]["Status"], found["State"]["ExitCode"], found["RestartCount"]) == ("exited", 137, 0)


def test_a_signal_that_does_not_stop_it_is_no_stop(box: Box) -> None:
    """docker: where the image or --stop-signal says how it is stopped, another signal is none."""
    script = "trap 'echo hup; exit 1' HUP; echo up; while :; do sleep 0.05; done"
    box.start("again", "--restart", "always", "--stop-signal", "USR1", command=("sh", "-c", script))
    with following(box.pyrun, "again") as lines:
        assert next(lines) == "up"
        box.pyrun.ok("kill", "-s", "HUP", "again")
        assert [next(lines), next(lines)] == ["hup", "up"]
    box.start("never", "--restart", "always", command=("sh", "-c", script))
    with following(box.pyrun, "never") as lines:
        assert next(lines) == "up"
        box.pyrun.ok("kill", "-s", "HUP", "never")
        assert list(lines) == ["hup"]


def test_a_death_from_outside_is_followed_by_a_run(box: Box) -> None:
    box.start("lives", "--restart", "unless-stopped", command=("sh", "-c", "echo up; exec sleep 1000"))
    with following(box.pyrun, "lives") as lines:
        assert next(lines) == "up"
        first = box.inspect("lives")["State"]["Pid"]
        os.kill(first, signal.SIGKILL)
        assert next(lines) == "up"
    found = box.inspect("lives")
    assert found["State"]["Pid"] not in (0, first)
    assert found["RestartCount"] == 1
    assert box.pyrun.ok("exec", "lives", "echo", "fine") == "fine"


def test_in_the_foreground_the_first_end_counts(box: Box) -> None:
    done = box.pyrun("run", "--name", "front", "--network", "none", "--restart", "always", box.image, *RUNS)
    assert (done.returncode, done.stdout) == (3, "run\n")
    assert box.names() == ["front"]
    box.pyrun.ok("stop", "front")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sometimes", "unknown policy 'sometimes'; use one of"),
        ("always:3", "maximum retry count can only be used with 'on-failure'"),
        ("on-failure:x", "maximum retry count must be an integer"),
        ("on-failure:99999999999", "maximum retry count must be an integer"),
        ("on-failure:-1", "maximum retry count cannot be negative"),
        (":3", "no policy provided before colon"),
    ],
)
def test_what_is_no_policy(shared_box: Box, text: str, words: str) -> None:
    assert words in shared_box.pyrun.fails(125, "run", "--restart", text, shared_box.image, "true")


def test_not_with_rm(shared_box: Box) -> None:
    words = "conflicting options: cannot specify both --restart and --rm"
    assert words in shared_box.fails(125, "--restart", "always")
    assert shared_box.run("--restart", "no", command=("echo", "fine")) == "fine"


def boot_again(box: Box, *names: str) -> None:
    """Power is lost, and the machine comes up: no monitor, no exit record, another boot, an empty runtime directory."""
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for name in names:
        place = directory(box, name)
        if box.status(name) in ("running", "restarting"):
            pid = monitor(box, name)
            os.kill(pid, signal.SIGKILL)
            wait_pid(pid)
            (place / "exit").write_bytes(bytes(64))
        text = (place / "state").read_text()
        (place / "state").write_text(text.replace(here, "00000000-0000-4000-8000-000000000000"))


def test_after_a_boot(box: Box) -> None:
    policies = {"aa": "always", "al-stopped": "always", "us": "unless-stopped", "us-stopped": "unless-stopped",
                "of": "on-failure", "nn": "no"}  # fmt: skip
    for name, policy in policies.items():
        box.start(name, "--restart", policy)
    box.pyrun.ok("create", "--name", "created", "--restart", "always", "--network", "none", box.image, "sleep", "9")
    box.pyrun.ok("stop", "-t", "0", "al-stopped", "us-stopped")
    boot_again(box, *policies)
    assert box.names() == []
    for name in policies:
        found = box.inspect(name)["State"]
        assert (found["Status"], found["ExitCode"]) == ("exited", 137), name
        assert found["FinishedAt"] >= found["StartedAt"][:19]
    assert "Exited (137)" in box.pyrun.ok("ps", "-a")
    on_boot = box.names("--filter", "should-start-on-boot=true")
    assert sorted(on_boot) == ["aa", "al-stopped", "of", "us"], "docker starts what has run before"
    ids = box.pyrun.ok("start", "--all", "--filter", "restart-policy=unless-stopped").split()
    assert [box.inspect(container)["Name"] for container in ids] == ["/us"]
    box.pyrun.ok("start", "--all", "--filter", "should-start-on-boot=true")
    assert sorted(box.names()) == ["aa", "al-stopped", "of", "us"]
    assert box.pyrun.ok("start", "--all", "--filter", "should-start-on-boot=true") == "", "again: nothing is left to do"
    # Stopped once, started since: it is no longer one that was stopped.
    box.pyrun.ok("start", "us-stopped")
    boot_again(box, "us-stopped")
    assert box.pyrun.ok("start", "--all", "--filter", "restart-policy=unless-stopped")
    assert "us-stopped" in box.names()


def test_what_start_all_refuses(shared_box: Box) -> None:
    pyrun = shared_box.pyrun
    assert "requires at least 1 argument" in pyrun.fails(1, "start")
    assert "either start all containers or the container(s)" in pyrun.fails(1, "start", "--all", "x")
    assert "--filter needs --all" in pyrun.fails(1, "start", "--filter", "name=x", "x")
    assert "unknown policy 'foo'" in pyrun.fails(1, "start", "--all", "--filter", "restart-policy=foo")
    assert pyrun.ok("start", "--all") == ""
