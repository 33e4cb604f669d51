"""What each hot verb has imported when it has done its whole work on a real container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.features import requires
from tests.support.imported import complaint, imported

if TYPE_CHECKING:
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "overlay")


def test_a_life_of_hot_verbs(pyrun: CommandLine, images: Catalogue) -> None:
    pyrun.ok("pull", images.busybox)
    # The first start makes what is made once (engine namespace, compiled filter): that is not the hot path.
    pyrun.ok("run", "-d", "--name", "keeper", "--network", "none", images.busybox, "sleep", "1000")
    steps = [
        ("run", "--rm", "--network", "none", images.busybox, "true"),
        ("run", "-d", "--network", "none", "--name", "one", images.busybox, "sleep", "1000"),
        ("exec", "one", "true"),
        ("ps",),
        ("logs", "one"),
        ("stop", "-t", "0", "one"),
        ("wait", "one"),
        ("start", "one"),
        ("kill", "one"),
        ("rm", "-f", "one"),
    ]
    wrong = []
    for step in steps:
        done, modules = imported(pyrun.directory, pyrun.environment, *step)
        assert done.returncode == 0, f"{step}: {done.stderr}"
        if complaint(step[0], modules):
            wrong.append(f"{' '.join(step)}: {complaint(step[0], modules)}")
    assert not wrong, "\n".join(wrong)
