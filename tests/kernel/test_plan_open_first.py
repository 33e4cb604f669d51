"""A container whose map has not the user: the plan's paths lie behind directories that its root may not search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.errors import SyscallError
from pyrun.runtime import engine_ns
from pyrun.runtime import plan as plans
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.bundle import Bundle

pytestmark = requires("userns", "subids", "unprivileged")

SCRIPT = "cat /secret/word; echo new > /made; stat -c %u /made /secret; id -u; grep -c / /proc/self/mountinfo"


def foreign(box: Bundle, **options: Any) -> dict[str, Any]:
    """Give the box a map without the user, everything behind a closed directory, and a file of the host's to bind."""
    box.uid_map = "0 1 65536"
    own = ["chown", "1:1", box.directory + "/upper", box.directory + "/work", box.lower]
    engine_ns.spawn_in(box.base + "/engine", box.engine, ["/bin/busybox", *own]).wait()
    os.mkdir(box.base + "/secret", 0o755)
    Path(box.base, "secret/word").write_text("word\n")
    os.chmod(box.base, 0o700)
    os.chmod(box.directory, 0o711)
    config = box.config("sh", "-c", SCRIPT, **options)
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 1, "size": 65536}]
    config["mounts"].append({"destination": "/secret", "type": "bind", "source": box.base + "/secret", "options": []})
    return config


@pytest.mark.parametrize("lacking", ["", "fsopen", "fsopen,fsconfig,fsmount"])
def test_overlay_and_binds(box: Bundle, lacking: str) -> None:
    config = foreign(box)
    box.lacking = lacking
    result = box.run(config=config)
    assert result.code == 0, result
    assert result.out.split()[:4] == ["word", "0", "65534", "0"], result
    assert os.stat(box.directory + "/upper/made").st_uid not in (os.geteuid(), 0)


def test_a_tree_as_the_root(box: Bundle) -> None:
    config = foreign(box)
    os.chmod(box.base, 0o711)  # the tree is in it
    os.chmod(box.lower, 0o700) if os.stat(box.lower).st_uid == os.geteuid() else None

    def bind(plan: plans.Plan) -> None:
        (step,) = (step for step in plan.steps if step.op == plans.OP_OVERLAY)
        step.op, step.count, step.strings = plans.OP_ROOT_BIND, 0, (box.lower,)

    box.plan_changes = bind
    result = box.run(config=config)
    assert result.code == 0, result
    assert result.out.split()[:4] == ["word", "0", "65534", "0"], result
    assert Path(box.lower, "made").read_text() == "new\n"


def test_without_the_flag_nothing_can_be_reached(box: Bundle) -> None:
    config = foreign(box)

    def clear(plan: plans.Plan) -> None:
        for step in plan.steps:
            step.flags &= ~plans.OPEN_FIRST

    box.plan_changes = clear
    with pytest.raises(SyscallError, match=r"mount the overlay.*permission denied"):
        box.run(config=config)


def test_what_is_missing_is_named(box: Bundle) -> None:
    config = foreign(box)
    config["mounts"][-1]["source"] = box.base + "/nowhere"
    with pytest.raises(SyscallError, match=r"bind .*/nowhere on /secret.*no such file"):
        box.run(config=config)


def test_more_than_can_be_kept_is_refused(box: Bundle) -> None:
    config = foreign(box)
    config["mounts"] += [config["mounts"][-1]] * 512
    with pytest.raises(SyscallError, match="bind"):
        box.run(config=config)
