"""Many processes at once on the same names: no error but those that a user is told of, no deadlock, nothing left."""

from __future__ import annotations

import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

AT_ONCE = 16
NAMES = 50
VERBS = {
    "create": ("create", "--name", "NAME", "--network", "none", "IMAGE", "sleep", "1000"),
    "start": ("start", "NAME"),
    "stop": ("stop", "-t", "0", "NAME"),
    "rm": ("rm", "NAME"),
    "rm -f": ("rm", "-f", "NAME"),
    "ps": ("ps", "-a"),
    "inspect": ("inspect", "NAME"),
}
# What each may answer, as documented; anything else is a fault.
ALLOWED = re.compile(
    r"no such container: \S+"
    r"|no such object: \S+"
    r"|container name '\S+' is already in use by container \w+"
    r"|cannot remove container: \S+: it is (running|being started)"
    r"|cannot start container: \S+: it is \S+"
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.full)])
def test_sixteen_at_once(box: Box, seconds: int) -> None:
    deadline = time.monotonic() + seconds
    wrong: list[str] = []

    def work(seed: int) -> int:
        draw = random.Random(seed)
        done = 0
        while time.monotonic() < deadline:
            verb = draw.choice(list(VERBS))
            words = {"NAME": f"name{draw.randrange(NAMES)}", "IMAGE": box.image}
            ended = box.pyrun(*(words.get(word, word) for word in VERBS[verb]))
            sentence = ended.stderr.removeprefix("pyrun: ").split("\n")[0]
            if ended.returncode and not ALLOWED.match(sentence):
                wrong.append(f"{verb}: {ended.returncode} {ended.stderr}")
            done += 1
        return done

    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = list(pool.map(work, range(AT_ONCE)))
    assert min(counts) > 0
    assert not wrong, "\n".join(sorted(set(wrong))[:20])
    names = box.names("-a")
    if names:
        box.pyrun.ok("rm", "-f", *names)
    box.pyrun.ok("rm", "-f", "nobody")  # sweeps
    for part in ("containers", "names", "tmp", "trash", "ephemeral"):
        assert os.listdir(box.pyrun.root / part) == [], part
