"""A disk without a free byte or inode: what runs goes on, what cannot be done says why, and a user can get out.

`--full`: the disk runs full at every call of every verb that writes to the store.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_killed_verbs import CASES, SETUPS
from tests.support import leftovers
from tests.support.boxes import Box
from tests.support.features import requires
from tests.support.killing import spread
from tests.support.small_disk import SmallDisk, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.catalogue import Catalogue

pytestmark = requires("userns", "subids", "overlay", "native", "small-disk")


class Small(Box):
    """A box on a small disk."""

    pyrun: SmallDisk

    def left(self) -> set[str]:
        """What is in the store that should not be there when no container is; the names of files in it."""
        found = set()
        for parent, names, files in os.walk(self.pyrun.disk):
            place = os.path.relpath(parent, self.pyrun.disk)
            if not place.startswith(("cache", "events", "filler", "layers")):
                found |= {f"{place}/{name}" for name in [*files, *names]}
        return {name for name in found if not name.startswith("./") or name == "./filler"}

    def told(self, code: int, *argv: str) -> None:
        """The verb fails, with a sentence that names what could not be written, and a hint."""
        said = self.pyrun.fails(code, *argv).splitlines()
        assert is_told(said), said


def is_told(lines: list[str]) -> bool:
    return (
        len(lines) == 2
        and lines[0].startswith("pyrun: cannot ")
        and "no space left" in lines[0]
        and lines[1].startswith("hint: ")
    )


@pytest.fixture(scope="module")
def box(images: Catalogue) -> Iterator[Small]:
    leftovers.adopt_orphans()
    before = leftovers.Before()
    with tempfile.TemporaryDirectory(prefix="pyrun-", dir="/var/tmp") as directory:
        with small_disk(Path(directory)) as command:
            command.ok("pull", "-q", images.busybox)
            box = Small(command, images.busybox)
            box.run(command=("true",))  # what the first start of all leaves: the compiled filter
            yield box
        assert not before.leftovers(Path(directory))


def test_what_runs_goes_on(box: Small, tmp_path: Path) -> None:
    pyrun = box.pyrun
    tmp_path.chmod(0o777)
    share = ("-v", f"{tmp_path}:/share")
    often = ("--health-cmd", "echo >> /share/checks", "--health-interval", "50ms")
    box.start("again", "--restart", "always", *share, command=("sh", "-c", "echo >> /share/runs; exit 3"))
    box.start("checked", *often, *share)
    box.start("asked", "-v", "/data", command=("sh", "-c", "trap 'exit 7' TERM; while :; do usleep 20000; done"))
    # Longer than what may be left of the log's last block.
    line = "printf '%5000s\\n' x; usleep 5000"
    box.start("talks", *share, command=("sh", "-c", f"until [ -e /share/go ]; do {line}; done; echo end"))
    pyrun("run", "--name", "ended", "--network", "none", box.image, "sh", "-c", "exit 5")
    pyrun.fill()
    inode = next((pyrun.disk / "filler").glob("????????????????"))
    lost = "lines of output were not logged"
    try:
        while lost not in pyrun("logs", "--tail", "1", "talks").stderr:
            pass  # before anything that ends here makes room
        box.told(125, "create", box.image)
        box.told(125, "run", "--rm", "--network", "none", box.image, "true")
        box.told(1, "start", "ended")
        box.told(1, "pause", "asked")
        box.told(1, "tag", box.image, "other:1")
        box.told(1, "commit", "ended", "other:1")
        assert box.inspect("ended")["State"]["ExitCode"] == 5
        pyrun.ok("stop", "asked")
        assert pyrun.ok("wait", "asked") == "7"
        # An anonymous volume cannot be marked to go, and goes.
        pyrun.ok("rm", "-v", "asked")
        assert pyrun.ok("volume", "ls", "-q") == ""
        count = grown(tmp_path / "checks", 0)
        assert grown(tmp_path / "checks", count) > count
        # Without a free byte, but with an inode for overlay's own, the policy's next run is begun.
        inode.unlink()
        runs = len((tmp_path / "runs").read_bytes())
        assert grown(tmp_path / "runs", runs) > runs
        pyrun.ok("rm", "-f", "again")
    finally:
        pyrun.free()
    (tmp_path / "go").touch()
    pyrun.ok("wait", "talks")
    lines = pyrun("logs", "talks")
    assert lines.stdout.endswith("x\nend\n")
    assert lost in lines.stderr
    pyrun.ok("start", "ended")
    assert pyrun.ok("wait", "ended") == "5"
    pyrun.ok("rm", "-f", "ended", "checked", "talks")
    assert pyrun.ok("ps", "-aq") == ""


def grown(path: Path, size: int) -> int:
    """Wait until a file is larger."""
    while path.stat().st_size <= size:
        os.sched_yield()
    return path.stat().st_size


MORE = {
    "pull": (("pull", "-q", "IMAGE"), ""),
    "run -v": (("run", "--rm", "--name", "victim", "--network", "none", "-v", "other:/data", "IMAGE", "true"), ""),
    "run": (("run", "--name", "victim", "IMAGE", "echo", "hello"), ""),
    "run --health-cmd": (("run", "-d", "--name", "victim", "--health-cmd", "true", "IMAGE", "sleep", "50"), ""),
}
VERBS = {name: (case.argv, case.setup) for name, case in CASES.items()} | MORE
# What the program inside says of its own full disk is not ours.
NOT_OURS = ("exec",)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_runs_full(box: Small, verb: str, tmp_path: Path) -> None:
    pyrun = box.pyrun
    argv, setup = VERBS[verb]
    known = {"IMAGE": box.image, "SOURCE": str(Path(__file__).parent), "TARGET": str(tmp_path)}
    argv = tuple(known.get(word, word) for word in argv)
    before = box.left()

    def prepare() -> None:
        for words in SETUPS[setup]:
            pyrun.ok(*(known.get(word, word) for word in words))

    prepare()
    calls = pyrun.step(0, "full", *argv)[0]["calls"]
    clean(box, before, f"{verb}, undisturbed")
    for when in spread(10, calls) if calls else [0]:
        prepare()
        done, said = pyrun.step(when, "full", *argv)
        where = f"{verb}: full at call {when} of {calls}: {done['at']}: exit {done['status']}: {said}"
        if not done["at"]:
            pyrun.fill()
        if done["status"] != 0 and verb not in NOT_OURS:
            assert done["status"] in (1, 125), where
            assert is_told(said.splitlines()) or not calls, where
        assert "internal error" not in said, where
        # Still without space: all is seen, and can be removed.
        for line in pyrun.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines():
            name, state = line.split()
            assert box.status(name) == state, where
            pyrun.ok("logs", name)
            pyrun.ok("rm", "-f", "-v", name)
        pyrun.free()
        clean(box, before, where)


def clean(box: Small, before: set[str], where: str) -> None:
    pyrun = box.pyrun
    names = pyrun.ok("ps", "-aq").split()
    if names:
        pyrun.ok("rm", "-f", "-v", *names)
    pyrun("volume", "rm", "-f", "other")
    for line in pyrun.ok("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines():
        name, image_id = line.split()
        if name != box.image:
            pyrun.ok("rmi", "-f", image_id if "<none>" in name else name)
    left = box.left() ^ before
    assert not left, f"{where}: left behind, or gone: {sorted(left)}"
