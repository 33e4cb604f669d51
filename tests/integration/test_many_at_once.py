"""stop, kill and rm of several containers: at the same time, and one that fails does not keep the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.boxes import following
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

# Ends only when all the others have been told to end as well.
LAST_WISH = "trap 'touch /v/$0; until [ $(ls /v | wc -l) = 3 ]; do sleep 0.01; done; exit 5' TERM"
SCRIPT = LAST_WISH + "; echo up; while :; do sleep 0.05; done"


def three(box: Box, directory: Path) -> list[str]:
    names = ["one", "two", "three"]
    for name in names:
        box.start(name, "-v", f"{directory}:/v", command=("sh", "-c", SCRIPT, name))
        with following(box.pyrun, name) as lines:
            assert next(lines) == "up"
    return names


def test_stop_asks_all_before_it_waits_for_one(box: Box, tmp_path: Path) -> None:
    names = three(box, tmp_path)
    done = box.pyrun("stop", "-t", "60", names[0], "none", *names[1:])
    assert done.returncode == 1
    assert done.stdout.split() == names
    assert "no such container: none" in done.stderr
    assert box.pyrun.ok("wait", *names).split() == ["5", "5", "5"]


def test_rm_with_a_time_stops_first(box: Box, tmp_path: Path) -> None:
    names = three(box, tmp_path)
    assert box.pyrun.ok("rm", "-f", "-t", "60", *names).split() == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert box.names("-a") == []


def test_stop_each_in_its_own_time(box: Box) -> None:
    """A deaf one is killed when its time is over, whatever the others do."""
    box.start("deaf", "--stop-timeout", "0")
    box.start("polite", command=("sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"))
    with following(box.pyrun, "polite") as lines:
        assert next(lines) == "up"
    assert box.pyrun.ok("stop", "deaf", "polite").split() == ["deaf", "polite"]
    assert box.pyrun.ok("wait", "deaf", "polite").split() == ["137", "3"]


def test_kill_of_several(box: Box) -> None:
    names = ["one", "two", "three"]
    for name in names:
        box.start(name)
    done = box.pyrun("kill", "one", "none", "two")
    assert (done.returncode, done.stdout.split()) == (1, ["one", "two"])
    assert box.names() == ["three"]
    assert "cannot kill container: one: it is not running" in box.pyrun.fails(1, "kill", "one")
    assert "invalid signal: NOSUCH" in box.pyrun.fails(1, "kill", "-s", "NOSUCH", *names)
    assert box.names() == ["three"]


def test_rm_of_what_runs(box: Box) -> None:
    box.start("one")
    box.pyrun.ok("create", "--name", "two", box.image)
    done = box.pyrun("rm", "one", "two")
    assert (done.returncode, done.stdout) == (1, "two\n")
    assert "cannot remove container: one: it is running\nhint: stop it first: `pyrun stop one`" in done.stderr
    done = box.pyrun("rm", "-f", "none", "one")
    assert (done.returncode, done.stdout) == (0, "one\n")
    assert "no such container: none" in done.stderr


def test_rm_all(box: Box) -> None:
    box.start("one")
    box.start("once", "--rm")
    box.pyrun.ok("create", "--name", "two", box.image)
    assert "cannot remove" in box.pyrun.fails(1, "rm", "--all")
    assert sorted(box.names("-a")) == ["once", "one"]
    assert len(box.pyrun.ok("rm", "--all", "--force").split()) == 2
    assert box.names("-a") == []
    assert box.pyrun.ok("rm", "--all") == ""


def test_rm_with_those_that_depend(box: Box) -> None:
    box.start("host")
    box.start("guest", "--pid", "container:host")
    box.start("third", "--pid", "container:guest")
    box.start("other")
    box.pyrun.ok("rm", "-f", "--depend", "host")
    assert box.names("-a") == ["other"]


def test_what_rm_refuses(box: Box) -> None:
    assert "requires at least 1 argument" in box.pyrun.fails(1, "rm")
    assert "--all takes no containers" in box.pyrun.fails(1, "rm", "--all", "one")
    assert "--time needs --force" in box.pyrun.fails(1, "rm", "--time", "3", "one")
    for flag in ("-l", "--link"):
        assert "flag --link is not supported yet" in box.pyrun.fails(125, "rm", flag, "one")
