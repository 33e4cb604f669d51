"""Records that cannot be read, and those of another session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import following
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


@pytest.mark.parametrize("content", ["", "{", '{"id"', '{"id":1,', "\0" * 400, "[]", '"x'])
def test_a_record_that_cannot_be_read(box: Box, content: str) -> None:
    """It must stop nothing but itself, and `rm -f` ends it."""
    broken = box.pyrun.ok("create", "--name", "broken", box.image)
    box.pyrun.ok("create", "--name", "whole", box.image)
    (box.pyrun.root / "containers" / broken / "container.json").write_text(content)
    listed = box.pyrun.ok("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Status}}").split("\n")
    assert f"{broken}  Dead" in listed
    assert "whole" in "".join(listed)
    box.pyrun.ok("tag", box.image, "another:name")
    assert "Untagged" in box.pyrun.ok("rmi", "another:name")
    for verb in (("start",), ("rm",), ("inspect",)):
        assert "cannot read container" in box.pyrun.fails(1, *verb, broken), verb
    assert box.pyrun.ok("logs", broken) == ""
    assert box.pyrun.ok("rm", "-f", broken) == broken
    assert box.names("-a") == ["whole"]
    assert os.listdir(box.pyrun.root / "names") == ["whole"]


def test_exec_knows_the_users_of_a_copied_root(box: Box) -> None:
    script = "mkdir -p /etc; echo newcomer:x:77:78::/:/bin/sh >> /etc/passwd; echo done; exec sleep 1000"
    made = box.pyrun(
        "run", "-d", "--name", "plain", box.image, "sh", "-c", script, environment={"PYRUN_ROOTFS": "copy"}
    )
    assert made.returncode == 0, made.stderr
    with following(box.pyrun, "plain") as lines:
        assert next(lines) == "done"
    assert box.pyrun.ok("exec", "-u", "newcomer", "plain", "id", "-u") == "77"
