"""`update --restart`: obeyed by the monitor that runs, and what cannot be changed yet is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.boxes import following
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


def test_a_running_one_obeys_its_new_policy(box: Box) -> None:
    pyrun = box.pyrun
    script = "echo run; until [ -e /end ]; do sleep 0.05; done; rm /end; exit 3"
    box.start("con", command=("sh", "-c", script))
    box.start("other", "--restart", "always")
    with following(pyrun, "con") as lines:
        assert next(lines) == "run"
        assert pyrun.ok("update", "--restart", "on-failure:5", "con", "other") == "con\nother"
        for name in ("con", "other"):
            policy = box.inspect(name)["HostConfig"]["RestartPolicy"]
            assert policy == {"Name": "on-failure", "MaximumRetryCount": 5}
        box.exec_end("con", "/end")
        assert next(lines) == "run", "it was started again"
        pyrun.ok("container", "update", "--restart=no", "con")
        box.exec_end("con", "/end")
        assert next(lines, None) is None
    assert box.inspect("con")["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert box.inspect("con")["State"]["ExitCode"] == 3
    assert pyrun("update", "--restart", "always", "none", "con").stdout == "con\n"


def test_what_update_refuses(box: Box) -> None:
    pyrun = box.pyrun
    box.start("once", "--rm")
    assert "you must provide one or more flags" in pyrun.fails(1, "update", "once")
    assert "AutoRemove is enabled" in pyrun.fails(1, "update", "--restart", "always", "once")
    assert "unknown policy 'never'" in pyrun.fails(1, "update", "--restart", "never", "once")
    assert "no such container: none" in pyrun.fails(1, "update", "--restart", "no", "none")
    for flag in ("--memory", "-m", "--cpus", "--pids-limit", "--cpu-shares", "--blkio-weight"):
        name = "--memory" if flag == "-m" else flag
        assert f"flag {name} is not supported yet" in pyrun.fails(125, "update", flag, "1", "once")
