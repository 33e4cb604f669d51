"""`run`: -v, --mount, --tmpfs, --read-only and the image's VOLUMEs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box, push
from tests.support.features import requires
from tests.support.images import directory, entry, layer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay")


@pytest.fixture
def host(box: Box) -> Path:
    """A directory of the host, on a disk."""
    path = box.pyrun.directory / "host"
    path.mkdir()
    (path / "file").write_text("of the host\n")
    return path


def volumes(pyrun: CommandLine) -> list[str]:
    path = pyrun.root / "volumes"
    return sorted(os.listdir(path)) if path.exists() else []


def test_bind_mounts(box: Box, host: Path) -> None:
    assert box.sh("cat /mnt/file; echo new > /mnt/new; stat -c %u /mnt/new", "-v", f"{host}:/mnt") == "of the host\n0"
    assert (host / "new").read_text() == "new\n"
    assert (host / "new").stat().st_uid == os.geteuid()
    message = box.sh("touch /mnt/x 2>&1; touch /mnt/deep/x 2>&1; true", "-v", f"{host}:/mnt:ro")
    assert message.count("Read-only file system") == 1
    for option in (f"type=bind,src={host},dst=/mnt,readonly", f"type=bind,source={host},target=/mnt,ro"):
        assert "Read-only file system" in box.sh("touch /mnt/x 2>&1; cat /mnt/file", "--mount", option)
    assert sorted(os.listdir(host)) == ["file", "new"]


def test_bind_of_a_file_and_nested_mounts(box: Box, host: Path) -> None:
    (host / "sub").mkdir()
    options = ("-v", f"{host}:/a", "--mount", "type=tmpfs,target=/a/sub", "-v", f"{host}/file:/etc/motd:ro")
    seen = box.sh("cat /etc/motd; touch /a/sub/x; ls /a/sub; grep -c ' /a/sub tmpfs' /proc/mounts", *options)
    assert seen == "of the host\nx\n1"
    assert os.listdir(host / "sub") == []
    # The inner mount first on the command line: still inside the outer one.
    inner = host / "inner"
    inner.mkdir()
    (inner / "i").touch()
    assert box.sh("ls /a/sub", "-v", f"{inner}:/a/sub", "-v", f"{host}:/a") == "i"


def test_what_is_missing_on_the_host(box: Box, host: Path) -> None:
    # As docker: -v makes the directory, --mount does not.
    assert box.sh("ls -A /x", "-v", f"{host}/made:/x") == ""
    assert (host / "made").is_dir()
    message = box.fails(125, "--mount", f"type=bind,src={host}/absent,dst=/x")
    assert f"{host}/absent" in message
    assert not (host / "absent").exists()
    assert "/proc" in box.fails(125, "-v", f"{host}:/proc/x")
    assert "invalid" in box.fails(125, "-v", f"{host}:relative")
    assert "duplicate mount point" in box.fails(125, "-v", f"{host}:/x", "-v", f"{host}:/x").lower()


def test_a_link_in_the_image_leads_no_mount_out_of_it(
    pyrun: CommandLine, registry: str, tmp_path: Path, host: Path
) -> None:
    from tests.support.images import symlink

    added = layer([symlink("out", "/../../../../var/tmp"), directory("var/tmp")])
    reference = push(registry, tmp_path, "linked", {}, added)
    pyrun.ok("pull", "-q", reference)
    assert Box(pyrun, reference).sh("cat /var/tmp/file", "-v", f"{host}:/out") == "of the host"


def test_named_volume_is_filled_once_and_kept(box: Box) -> None:
    assert "busybox" in box.sh("ls /bin; rm /bin/yes; touch /bin/new", "-v", "programs:/bin")
    seen = box.sh("ls /again", "-v", "programs:/again").split("\n")
    assert "new" in seen
    assert "yes" not in seen
    assert volumes(box.pyrun) == ["programs"]
    # nocopy: stays empty.
    box.sh("true", "--mount", "type=volume,src=empty,dst=/etc/x,volume-nocopy")
    assert (
        box.sh("ls -A /v", "--mount", "type=volume,src=nothing,dst=/home,volume-nocopy", "-v", "nothing:/v:nocopy")
        == ""
    )


def test_owners_in_a_volume_are_the_images(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    content = [directory("data", 0o750, owner=(1000, 100)), entry("data/seed", b"s\n", mode=0o640, owner=(1000, 100))]
    reference = push(registry, tmp_path, "volumes", {"Volumes": {"/data": {}, "/fresh": {}}}, layer(content))
    pyrun.ok("pull", "-q", reference)
    box = Box(pyrun, reference)
    script = "stat -c '%u:%g %a %n' /data /data/seed /fresh; grep -cE ' /(data|fresh) ' /proc/mounts; cat /data/seed"
    assert box.sh(script).split("\n") == ["1000:100 750 /data", "1000:100 640 /data/seed", "0:0 755 /fresh", "2", "s"]
    # --rm took the anonymous ones along.
    assert volumes(pyrun) == []
    box.start("keeper", "-v", "/third", command=("sleep", "1000"))
    assert len(volumes(pyrun)) == 3
    mounts = box.inspect("keeper")["Mounts"]
    assert sorted(mount["Destination"] for mount in mounts) == ["/data", "/fresh", "/third"]
    pyrun.ok("exec", "-u", "alice", "keeper", "touch", "/data/mine")
    pyrun.ok("rm", "-f", "keeper")
    assert len(volumes(pyrun)) == 3
    box.start("other")
    pyrun.ok("rm", "-f", "-v", "other")
    assert len(volumes(pyrun)) == 3


def test_named_volumes_outlive_rm(box: Box) -> None:
    box.sh("echo kept > /v/file", "-v", "kept:/v", "-v", "/anonymous")
    assert volumes(box.pyrun) == ["kept"]
    box.start("one", "--mount", "type=volume,source=kept,target=/v,readonly")
    assert box.pyrun.ok("exec", "one", "cat", "/v/file") == "kept"
    assert "Read-only" in box.pyrun.fails(1, "exec", "one", "touch", "/v/x")
    box.pyrun.ok("rm", "-f", "-v", "one")
    assert volumes(box.pyrun) == ["kept"]


def test_tmpfs(box: Box) -> None:
    script = "grep -E ' /t[123] ' /proc/mounts | cut -d' ' -f2,3; stat -c %a /t1 /t2; df -k /t1 | tail -1"
    options = ("--tmpfs", "/t1:size=1m,mode=700", "--tmpfs", "/t2", "--mount", "type=tmpfs,target=/t3,tmpfs-size=64k")
    seen = box.sh(script, *options).split("\n")
    assert sorted(seen[:3]) == ["/t1 tmpfs", "/t2 tmpfs", "/t3 tmpfs"]
    assert seen[3:5] == ["700", "1777"]
    assert seen[5].split()[1] == "1024"
    script = "dd if=/dev/zero of=/t3/x bs=1k count=65 2>&1; cp /bin/busybox /t1; /t1/busybox true"
    done = box.pyrun("run", "--rm", "--network", "none", *options, box.image, "sh", "-c", script)
    assert "No space left" in done.stdout
    # Docker's --tmpfs is noexec.
    assert done.returncode == 126


def test_read_only(box: Box) -> None:
    script = "touch /x 2>&1; touch /etc/x 2>&1; touch /dev/shm/ok /t/ok && echo > /dev/null && echo written"
    message = box.sh(script, "--read-only", "--tmpfs", "/t")
    assert message.count("Read-only file system") == 2
    assert message.endswith("written")


def test_three_files_of_etc(box: Box) -> None:
    """They are the container's own: writable, and not the image's."""
    box.start("files")
    box.pyrun.ok("exec", "files", "sh", "-c", "echo 192.0.2.9 here >> /etc/hosts")
    box.pyrun.ok("stop", "-t", "0", "files")
    box.pyrun.ok("start", "files")
    assert "192.0.2.9 here" in box.pyrun.ok("exec", "files", "cat", "/etc/hosts")
    assert "192.0.2.9" not in box.sh("cat /etc/hosts")
