"""What `rm` must leave alone, a container that is being started and a volume in use; and what volumes must not lose."""

from __future__ import annotations

import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


def test_a_container_that_is_being_started_is_not_removed(box: Box) -> None:
    container_id = box.pyrun.ok("create", "--name", "starting", box.image)
    fd = os.open(box.pyrun.root / "containers" / container_id / "lock", os.O_RDWR)
    try:
        # What its monitor does first.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK.to_bytes(2, "little") + bytes(62))
        assert "it is being started" in box.pyrun.fails(1, "rm", "starting")
    finally:
        os.close(fd)
    assert box.pyrun.ok("rm", "starting") == "starting"


def test_an_anonymous_volume_that_another_container_mounts_stays(box: Box) -> None:
    box.pyrun.ok("run", "--name", "maker", "-v", "/data", box.image, "sh", "-c", "echo kept > /data/file")
    name = box.inspect("maker")["Mounts"][0]["Name"]
    box.start("user", "-v", f"{name}:/data")
    box.pyrun.ok("rm", "--volumes", "maker")
    assert box.pyrun.ok("exec", "user", "cat", "/data/file") == "kept"
    box.pyrun.ok("rm", "--force", "--volumes", "user")
    assert (box.pyrun.root / "volumes" / name / "_data" / "file").exists()


def test_an_anonymous_volume_goes_with_its_container(box: Box) -> None:
    box.pyrun.ok("run", "--name", "maker", "-v", "/data", box.image, "true")
    assert len(os.listdir(box.pyrun.root / "volumes")) == 1
    box.pyrun.ok("rm", "--volumes", "maker")
    assert os.listdir(box.pyrun.root / "volumes") == []


def test_a_filling_that_was_cut_short_is_undone_before_anybody_writes(box: Box) -> None:
    """Undone at the next filling instead, it took along what a container had written in the meantime."""
    box.sh("true", "-v", "store:/etc:nocopy")
    volume = box.pyrun.root / "volumes" / "store"
    (volume / "copying").write_bytes(b"")
    (volume / "_data" / "half").write_bytes(b"")
    assert box.sh("ls /nowhere; echo precious > /nowhere/file", "-v", "store:/nowhere") == ""
    assert box.sh("cat /etc/file", "-v", "store:/etc") == "precious"


def test_of_starts_at_once_one_starts_and_all_are_content(box: Box) -> None:
    for _ in range(3):
        box.pyrun.ok("create", "--name", "once", "--network", "none", box.image, "sleep", "1000")
        starts = [box.pyrun.popen("start", "once", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(4)]
        said = [start.communicate()[0] for start in starts]
        assert [start.returncode for start in starts] == [0] * 4, said
        assert box.status("once") == "running"
        box.pyrun.ok("rm", "-f", "once")
