"""SIGKILL to `image mount` and `image unmount`: an image is mounted and readable, or it is not, and can be again.

Twenty instants of each, through FUSE and where there is none, with `--full`; otherwise one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires
from tests.support.killing import Killing, between

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay", "native", "fuse")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("how", "verb"),
    [
        ("fuse", "mount"),
        *(
            pytest.param(*words, marks=pytest.mark.full)
            for words in [("fuse", "unmount"), ("copy", "mount"), ("copy", "unmount")]
        ),
    ],
)
def test_killed(box: Box, tmp_path: Path, how: str, verb: str, pytestconfig: pytest.Config) -> None:
    if how == "copy":
        box.pyrun.environment |= {"PYRUN_ROOTFS": "copy"}
    killing = Killing(box, tmp_path)
    argv = ("image", verb, box.image)
    prepare(box, verb)
    counted = killing.step("client", 0, "client", *argv)
    assert counted["status"] == 0
    box.pyrun.ok("image", "unmount", "--all")
    killing.before = killing.content()  # mounts.lock stays
    first, last = counted["first"], counted["calls"]["client"]
    killed = 0
    for when in between(20, first, last) if pytestconfig.getoption("--full") else [first + (last - first) * 3 // 4]:
        prepare(box, verb)
        killed += bool(killing.step("client", when, "client", *argv)["killed"])
        for line in box.pyrun.ok("image", "mount").splitlines():
            assert (Path(line.split("\t")[1]) / "etc/passwd").read_bytes(), when
        killing.is_sound()
        again = box.pyrun(*argv)
        assert again.returncode == 0 or "it is not mounted" in again.stderr, f"{when}: {again.stderr}"
        if verb == "mount":
            assert (Path(again.stdout.strip()) / "etc/passwd").read_bytes(), when
        is_unmounted(killing)
    assert killed
    box.pyrun.ok("rm", "-f", "holder")


def prepare(box: Box, verb: str) -> None:
    if verb == "unmount":
        box.pyrun.ok("image", "mount", box.image)


def is_unmounted(killing: Killing) -> None:
    """Unmount what is mounted, sweep, and see that nothing is left of any mount."""
    killing.box.pyrun.ok("image", "unmount", "--all")
    assert killing.box.pyrun.ok("image", "mount") == ""
    killing.box.pyrun.ok("rm", "-f", "nobody-at-all")
    for place in (killing.layout.mounts, os.path.dirname(killing.layout.mount_point("x"))):
        assert not os.path.isdir(place) or os.listdir(place) == []
    assert killing.content() == killing.before
