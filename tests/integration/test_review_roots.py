"""Places and names that are unusual, and no mistake."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


@pytest.mark.parametrize("name", ["a b", "line\nline", "snow☃", os.fsdecode(b"\xff\xfe"), 'a:b,c=d\\e"f', "l" * 200])
def test_any_name_of_a_root_will_do(box: Box, name: str) -> None:
    root = f"{box.pyrun.directory}/{name}"
    try:
        box.pyrun.ok("--root", root, "pull", "-q", box.image)
        options = ("--root", root, "run", "--network", "none", "-v", "data:/data")
        assert box.pyrun.ok(*options, "--rm", box.image, "echo", "here") == "here"
        box.pyrun.ok(*options, "-d", "--name", "one", box.image, "sleep", "1000")
        assert box.pyrun.ok("--root", root, "exec", "one", "echo", "inside") == "inside"
        assert box.pyrun.ok("--root", root, "ps", "--format", "{{.Names}}") == "one"
        box.pyrun.ok("--root", root, "rm", "-f", "one")
        box.pyrun.ok("--root", root, "rmi", box.image)
    finally:
        shutil.rmtree(root)


def test_arguments_that_are_no_text(box: Box) -> None:
    odd = os.fsdecode(b"x\xff")
    assert box.sh('printf "$ODD" | od -An -tx1; hostname | od -An -tx1', "-e", f"ODD={odd}", "--hostname", odd) == (
        " 78 ff\n 78 ff 0a"
    )


def test_force_forgives_what_is_not_there(box: Box) -> None:
    box.pyrun.ok("create", "--name", "there", box.image)
    done = box.pyrun("rm", "--force", "absent", "there")
    assert (done.returncode, done.stdout) == (0, "there\n")
    assert "no such container: absent" in done.stderr
    done = box.pyrun("rmi", "--force", "absent")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no such image: absent" in done.stderr
    assert "no such container: absent" in box.pyrun.fails(1, "rm", "absent")
