"""Many containers at once: none fails to start, and nothing of any is left."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

AT_ONCE = 16


def keys() -> int:
    """How many keys and keyrings this user holds: /proc/key-users."""
    for line in Path("/proc/key-users").read_text().splitlines():
        uid, _, rest = line.partition(":")
        if int(uid) == os.geteuid():
            return int(rest.split()[1].partition("/")[0])
    return 0


def inotify_instances() -> int:
    """How many the processes of this user hold; a user may have 128 (fs.inotify.max_user_instances)."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            found += os.readlink(path) == "anon_inode:inotify"
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return found


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.full)])
def test_many(box: Box, count: int) -> None:
    pyrun = box.pyrun
    names = [f"many{number}" for number in range(count)]
    keys_before, inotify_before = keys(), inotify_instances()

    def each(*arguments: str) -> list[subprocess.CompletedProcess[str]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda name: pyrun(*(word.format(name) for word in arguments)), names))

    started = each("run", "-d", "--network", "none", "--name", "{}", box.image, "sleep", "1000")
    assert [done.stderr for done in started if done.returncode] == []
    assert len({done.stdout for done in started}) == count
    assert sorted(box.names()) == sorted(names)
    assert inotify_instances() < inotify_before + count // 2  # one each would be `count`
    answered = each("exec", "{}", "hostname")
    assert [done.stdout.strip() for done in answered] == [done.stdout[:12] for done in started]

    half = count // 2
    pyrun.ok("stop", "-t", "0", *names[:half])
    assert sorted(box.names()) == sorted(names[half:])
    assert sorted(box.names("-a")) == sorted(names)
    removed = each("rm", "-f", "{}") if count < 100 else [pyrun("container", "prune", "-f"), pyrun("rm", "-fa")]
    assert [done.stderr for done in removed if done.returncode] == []
    assert box.names("-a") == []
    for part in ("containers", "names", "tmp", "trash", "ephemeral"):
        path = pyrun.root / part
        assert not path.exists() or os.listdir(path) == [], part
    for part in ("live", "sock"):
        assert [*pyrun.runtime.rglob(f"{part}/*")] == [], part
    # Processes, mounts, descriptors and locks: the fixture's proof. One keyring each would be `count`; the user's other
    # work may hold a few, and the kernel collects dead ones a little later.
    assert keys() < keys_before + count // 2
