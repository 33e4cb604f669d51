"""`restart`: from every state, with the container's own way to be stopped, and of one that removes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.store import owner
from tests.support.boxes import following
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

COUNT = "echo x >> /count; trap 'echo end >> /count; exit 0' TERM; echo $(wc -l < /count); while :; do sleep 0.05; done"


def test_from_every_state(box: Box) -> None:
    pyrun = box.pyrun
    box.start("running")
    pyrun.ok("create", "--name", "created", box.image, "sleep", "1000")
    box.start("ended", command=("sh", "-c", "test -e /again && sleep 1000; touch /again"))
    pyrun.ok("wait", "ended")
    box.start("paused")
    pyrun.ok("pause", "paused")
    names = ["running", "created", "ended", "paused"]
    before = {name: box.inspect(name)["State"]["Pid"] for name in names}
    assert pyrun.ok("restart", "-t", "0", *names).split() == names
    for name in names:
        state = box.inspect(name)["State"]
        assert (state["Status"], state["Paused"]) == ("running", False)
        assert state["Pid"] != before[name]
    done = pyrun("container", "restart", "--time", "0", "none", "running")
    assert (done.returncode, done.stdout) == (1, "running\n")
    assert "no such container: none" in done.stderr


def test_files_stay_and_the_stop_signal_is_obeyed(box: Box) -> None:
    box.start("con", command=("sh", "-c", COUNT))
    with following(box.pyrun, "con") as lines:
        assert next(lines) == "1"
    box.pyrun.ok("restart", "con")
    with following(box.pyrun, "con") as lines:
        assert [next(lines), next(lines)] == ["1", "3"]
    box.pyrun.ok("restart", "-s", "KILL", "con")
    with following(box.pyrun, "con") as lines:
        assert [next(lines) for _ in range(3)] == ["1", "3", "4"]
    assert "invalid signal: NOSUCH" in box.pyrun.fails(1, "restart", "-s", "NOSUCH", "con")
    assert box.status("con") == "running"


def test_one_that_removes_itself(box: Box) -> None:
    """It is there after a restart, with its files; and gone after its end, as ever."""
    identity = box.start("once", "--rm", "-v", "/data", command=("sh", "-c", COUNT + "; :"))
    with following(box.pyrun, "once") as lines:
        assert next(lines) == "1"
    for _ in range(2):
        assert box.pyrun.ok("restart", "once") == "once"
        assert box.inspect("once")["Id"] == identity
        assert box.pyrun.ok("exec", "once", "sh", "-c", "echo data > /data/file; cat /data/file") == "data"
    assert box.pyrun.ok("exec", "once", "grep", "-c", "end", "/count") == "2"
    box.pyrun.ok("stop", "once")
    assert box.names("-a") == []
    assert list((box.pyrun.root / "volumes").iterdir()) == []


def test_a_restart_that_was_killed_leaves_one_that_rm_sweeps(box: Box) -> None:
    """Between its end and its start: nobody else takes it for a leftover while the restart lives."""
    identity = box.start("once", "--rm")
    directory = box.pyrun.root / "ephemeral" / identity
    (directory / "kept").write_text(owner.token())
    box.pyrun.ok("kill", "once")
    box.pyrun("rm", "none")
    box.pyrun.ok("create", "--name", "other", box.image)
    box.pyrun.ok("rm", "other")  # sweeps
    assert box.names("-a") == ["once"]
    # The token of a process that is gone.
    alive = (directory / "kept").read_text().split("-")
    (directory / "kept").write_text("-".join([*alive[:3], "4194303", *alive[4:]]))
    box.pyrun.ok("create", "--name", "other", box.image)
    box.pyrun.ok("rm", "other")
    assert box.names("-a") == []
