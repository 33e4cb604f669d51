"""SIGKILL while a layer's other form is made: for `--userns=keep-id`, and once there are subordinate ids to unpack for.

Whenever that is: the form is whole or not there, the one that it is made of is untouched, and the next start makes what
is missing, once. Fifteen instants of the client and of its helpers each; all of it `full`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires
from tests.support.killing import Killing, between

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = [requires("unprivileged", "userns", "subids", "overlay", "registry"), pytest.mark.full]

RUN = ("run", "--rm", "--network", "none", "--pull", "never")
# How the image comes in, and a start that needs another form of its layers.
WAYS = {
    "keep-id": ({}, (*RUN, "--userns=keep-id", "IMAGE", "id", "-u"), str(os.getuid())),
    # As a user without subordinate ids has pulled it, who has been given some since.
    "more ids": ({"PYRUN_SINGLE_ID": "1"}, (*RUN, "-u", "5:6", "IMAGE", "id", "-u"), "5"),
}


def forms(pyrun: CommandLine) -> dict[str, tuple[int, int]]:
    """Return inode and time of change of each form of each layer."""
    found = {}
    for path in (pyrun.root / "layers/sha256").glob("*/*"):
        status = (path / "tree" if (path / "tree").is_dir() else path).stat()
        found[str(path)] = status.st_ino, status.st_ctime_ns
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("role", ["client", "helper"])
def test_a_derivation_is_killed(box: Box, images: Catalogue, tmp_path: Path, way: str, role: str) -> None:
    killing = Killing(box, tmp_path)
    pyrun = box.pyrun
    environment, argv, answer = WAYS[way]
    argv = tuple(images.rich if word == "IMAGE" else word for word in argv)
    pyrun.ok("pull", "-q", images.rich, environment=environment)
    counted = killing.step("client", 0, "client,helper", *argv)
    assert counted["status"] == 0
    pyrun.ok("rmi", images.rich)
    killed = 0
    for when in between(15, counted["first"] if role == "client" else 1, counted["calls"][role]):
        pyrun.ok("pull", "-q", images.rich, environment=environment)
        before = forms(pyrun)
        killed += bool(killing.step(role, when, "client,helper", *argv)["killed"])
        killing.is_sound()
        left = forms(pyrun)
        assert before.items() <= left.items(), "never in place"
        assert pyrun.ok(*argv) == answer
        whole = forms(pyrun)
        assert left.items() <= whole.items(), "what was made is not made again"
        assert pyrun.ok(*argv) == answer
        assert forms(pyrun) == whole
        killing.is_sound()
        pyrun.ok("rm", "-f", "nobody-at-all")  # sweeps
        for place in ("tmp", "trash", "leases"):
            assert os.listdir(pyrun.root / place) == []
        pyrun.ok("rmi", images.rich)
    assert killed > 5  # how many calls a helper makes differs from run to run
    pyrun.ok("rm", "-f", "holder")
