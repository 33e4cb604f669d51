"""A million tiny entries: taken, in memory that does not grow with the files, and removed again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import tar_build as tar
from tests.support.tar_tree import program

ENTRIES = 1_000_000


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
