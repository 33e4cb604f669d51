"""`wait --condition`: what holds already, what comes later, and a container that goes away meanwhile."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

ENDS = ("sh", "-c", "until [ -e /end ]; do sleep 0.05; done; rm /end; exit 4")


@pytest.mark.parametrize(
    ("condition", "code"), [("created", -1), ("configured", -1), ("not-running", 0), ("running,created", -1)]
)
def test_what_holds_already(box: Box, condition: str, code: int) -> None:
    box.pyrun.ok("create", "--name", "con", box.image, *ENDS)
    assert box.pyrun.ok("wait", "--condition", condition, "con") == str(code)


def waiting(box: Box, condition: str) -> subprocess.Popen[bytes]:
    """Start a `wait`; it is under way when it has an inotify descriptor."""
    process = box.pyrun.popen("wait", "-i", "9s", "--condition", condition, "con", stdout=subprocess.PIPE)
    script = f"until grep -qs inotify /proc/{process.pid}/fdinfo/*; do kill -0 {process.pid} || exit 1; done"
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0
    return process


def said(process: subprocess.Popen[bytes]) -> str:
    with process:
        return process.communicate(timeout=60)[0].decode().strip()


def test_one_after_another(box: Box) -> None:
    pyrun = box.pyrun
    pyrun.ok("create", "--name", "con", box.image, *ENDS)
    for condition, verb, code in (
        ("running", ("start", "con"), "-1"),
        ("paused", ("pause", "con"), "-1"),
        ("running", ("unpause", "con"), "-1"),
        ("exited", (), "4"),  # by itself
        ("running", ("start", "con"), "-1"),
        ("next-exit", ("kill", "con"), "137"),
        ("removed", ("rm", "con"), "137"),
    ):
        process = waiting(box, condition)
        assert process.poll() is None, condition
        if verb:
            pyrun.ok(*verb)
        else:
            box.exec_end("con", "/end")
        assert said(process) == code, condition
    assert box.names("-a") == []


def test_the_next_exit_is_not_the_last_one(box: Box) -> None:
    box.start("con", command=ENDS)
    box.pyrun.ok("kill", "con")
    assert box.pyrun.ok("wait", "--condition", "exited", "con") == "137"
    process = waiting(box, "next-exit")
    box.pyrun.ok("start", "con")
    box.exec_end("con", "/end")
    assert said(process) == "4"


@pytest.mark.parametrize("condition", ["removed", "exited", "paused"])
def test_one_that_removes_itself(box: Box, condition: str) -> None:
    box.start("con", "--rm", command=ENDS)
    process = waiting(box, condition)
    box.exec_end("con", "/end")
    assert said(process) == "4"


def test_health(box: Box) -> None:
    box.start("con", "--health-cmd", "test -e /fine", "--health-interval", "100ms", "--health-retries", "1")
    assert box.pyrun.ok("wait", "--condition", "unhealthy", "con") == "-1"
    process = box.pyrun.popen("wait", "--condition=healthy", "con", stdout=subprocess.PIPE)
    box.pyrun.ok("exec", "con", "touch", "/fine")
    assert said(process) == "-1"
    box.start("other")
    assert "it has no health check" in box.pyrun.fails(1, "wait", "--condition", "healthy", "other")


def test_what_wait_refuses(box: Box) -> None:
    assert "invalid condition to wait for: 'happy'" in box.pyrun.fails(1, "wait", "--condition", "happy", "con")
    assert "no such container: con" in box.pyrun.fails(1, "wait", "--condition", "running", "con")
