"""A million tiny entries: taken, in memory that does not grow with the files, and removed again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import tar_build as tar
from tests.support.tar_tree import program

ENTRIES = 1_000_000
DIRECTORIES = 200_000


def peak_of(argv: list[str], stdin: int, keep: int) -> tuple[int, int]:
    """Run a program to its end; return its status and its peak of resident memory in kB."""
    with subprocess.Popen(argv, stdin=stdin, pass_fds=[keep]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_million_tiny_files(tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    archive = tmp_path / "archive"
    with archive.open("wb") as file:
        file.writelines(tar.file(b"d%d/f%d" % (number // 1000, number)) for number in range(ENTRIES))
        file.write(tar.END)
    fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY)
    with archive.open("rb") as file:
        argv = [program(), "unpack", "--dest-fd", str(fd), "--form", "full"]
        status, peak = peak_of(["unshare", "-Ur", *argv], file.fileno(), fd)
    archive.unlink()
    assert status == 0
    assert peak < 120_000
    assert len(os.listdir(dest)) == 1000
    assert len(os.listdir(dest / "d999")) == 1000
    subprocess.run([program(), "remove", str(dest)], check=True)
    os.close(fd)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_many_directories(tmp_path: Path) -> None:
    """Each is held, in some 70 bytes; what the sidecar says of them is not."""
    dest = tmp_path / "dest"
    dest.mkdir()
    archive = tmp_path / "archive"
    with archive.open("wb") as file:
        for number in range(DIRECTORIES):
            file.write(tar.directory(b"d%d/e%d" % (number // 1000, number), uid=os.getuid() + 1, mtime=number))
        file.write(tar.END)
    fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY)
    beside = os.open(tmp_path / "sidecar", os.O_WRONLY | os.O_CREAT)
    with archive.open("rb") as file:
        argv = [program(), "unpack", "--dest-fd", str(fd), "--sidecar-fd", str(beside)]
        with subprocess.Popen(["unshare", "-Ur", *argv], stdin=file, pass_fds=[fd, beside]) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    archive.unlink()
    assert process.returncode == 0
    assert usage.ru_maxrss < 44_000
    assert (dest / "d0/e999").stat().st_mtime == 999
    assert len((tmp_path / "sidecar").read_bytes()) > DIRECTORIES * 20
    subprocess.run([program(), "remove", str(dest)], check=True)
    os.close(fd)
    os.close(beside)


def test_the_memory_for_directories_is_bounded(tmp_path: Path) -> None:
    """Long names, in an archive that is small when it is packed, would take it all."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    argv = [program(), "unpack", "--dest-fd", str(fd)]
    xattrs = tar.pax({b"SCHILY.xattr.user.a%d" % n: bytes(65536) for n in range(15)})
    members = [xattrs + tar.directory(b"d%d" % number) for number in range(40)]
    done = subprocess.run(argv, input=b"".join(members), capture_output=True, pass_fds=[fd], check=False)
    os.close(fd)
    assert done.returncode == 1
    assert b"d34: directories with more than 32 MiB of extended attributes" in done.stderr
