"""``--userns``: whose ids a container has, on real layers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue

pytestmark = requires("userns", "subids", "overlay")

MAP = ("cat", "/proc/self/uid_map")


def range_of(text: str) -> range:
    inside, start, size = (int(word) for word in text.split())
    assert inside == 0
    return range(start, start + size)


@pytest.mark.parametrize("mode", ["nomap", "auto", "auto:size=3000"])
def test_the_user_is_nobody_inside(box: Box, mode: str) -> None:
    host = box.pyrun.directory / "host"
    host.mkdir()
    script = (
        "id -u; stat -c %u:%g / /bin/busybox /etc/hosts /x /home/alice /vol /mnt; touch /x /vol/y; "
        "echo more >> /etc/hosts; echo word > /dev/stdout; touch /mnt/z"
    )
    options = ("--userns", mode, "-v", "data:/vol", "-v", f"{host}:/mnt")
    done = box.pyrun("run", "--rm", "--network", "none", *options, box.image, "sh", "-c", f"touch /x; {script}")
    assert done.stdout.split() == ["0", "0:0", "0:0", "0:0", "0:0", "1000:1000", "0:0", "65534:65534", "word"], done
    assert "/mnt/z: Permission denied" in done.stderr
    assert (box.pyrun.root / "volumes/data/_data/y").stat().st_uid not in (0, os.geteuid())


def test_auto_shares_no_id_with_any_other(box: Box) -> None:
    names = [f"c{i}" for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: box.start(name, "--userns=auto"), names))
    seen: set[int] = set()
    for name in names:
        mine = range_of(box.pyrun.ok("exec", name, *MAP))
        assert not seen & set(mine)
        assert os.geteuid() not in mine
        seen |= set(mine)
    box.pyrun.ok("rm", "-f", *names[:3])
    assert set(range_of(box.run("--userns=auto", command=MAP))) <= seen, "a range is taken again"
    box.pyrun.ok("rm", "-f", *names[3:])
    assert os.listdir(box.pyrun.root / "idranges") == []


def test_a_container_keeps_its_range(box: Box) -> None:
    script = "[ -e /mark ] && exec sleep 1000; touch /mark; chown 7 /; cat /proc/self/uid_map"
    before = box.pyrun.ok("run", "--name", "kept", "--network", "none", "--userns=auto", box.image, "sh", "-c", script)
    assert range_of(box.run("--userns=auto", command=MAP)) != range_of(before)
    box.pyrun.ok("start", "kept")
    assert range_of(box.pyrun.ok("exec", "kept", *MAP)) == range_of(before)
    assert box.pyrun.ok("exec", "-u", "5", "kept", "sh", "-c", "id -u; stat -c %u /mark /").split() == ["5", "0", "7"]
    assert box.inspect("kept")["HostConfig"]["UsernsMode"] == "auto"


def test_a_start_that_fails_leaves_no_range(box: Box) -> None:
    assert "5000" in box.fails(125, "--userns=auto:size=100", "-u", "5000")
    assert "no 70000" in box.fails(125, "--userns=auto:size=70000")
    box.fails(125, "--userns=auto", "-v", "/nowhere/at/all:relative")
    box.fails(127, "--userns=auto", command=("nosuch",))
    box.pyrun.ok("rm", "-f", box.start("last"))  # sweeps
    assert os.listdir(box.pyrun.root / "idranges") == []


def test_owners_of_real_layers(box: Box, images: Catalogue) -> None:
    box.pyrun.ok("pull", "-q", images.rich)
    script = "find / -xdev -exec stat -c '%u:%g %n' {} + | sort"
    plain = box.run(image=images.rich, command=("sh", "-c", script)).split("\n")
    assert len({line.split()[0] for line in plain}) > 50, "an image of many owners"
    assert box.run("--userns=nomap", image=images.rich, command=("sh", "-c", script)).split("\n") == plain


def test_on_a_copied_tree(box: Box) -> None:
    script = "stat -c %u / /bin/busybox; touch /x; stat -c %u /x"
    assert box.sh(script, "--userns=auto", PYRUN_ROOTFS="copy").split() == ["0", "0", "0"]


def test_keep_id_as_another(box: Box) -> None:
    host = box.pyrun.directory / "host"
    host.mkdir()
    seen = box.sh("id -u; id -g; touch /mnt/mine", "--userns=keep-id:uid=200,gid=210", "-v", f"{host}:/mnt").split()
    assert seen == ["200", "210"]
    assert (host / "mine").stat().st_uid == os.geteuid()


@pytest.mark.parametrize("mode", ["nomap", "auto"])
def test_a_single_id_is_not_enough(box: Box, mode: str) -> None:
    done = box.pyrun("run", "--userns", mode, box.image, "true", environment={"PYRUN_SINGLE_ID": "1"})
    assert done.returncode == 125
    assert f"--userns={mode} is not available: it needs subordinate ids" in done.stderr
