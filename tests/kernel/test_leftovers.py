"""The proof that a test leaves nothing can fail: each kind of leftover is found by name, and only while it is there."""

from __future__ import annotations

import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import leftovers
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def before() -> leftovers.Before:
    leftovers.adopt_orphans()
    return leftovers.Before()


def test_nothing_is_left_of_nothing(before: leftovers.Before, tmp_path: Path) -> None:
    assert before.leftovers(tmp_path) == []


def test_a_daemon_is_found(before: leftovers.Before, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_PATIENCE_SECONDS", 0.1)
    # setsid -f forks: the sleeper's parent is dead, its session is not ours.
    subprocess.run(["setsid", "-f", "sleep", "1000"], check=True)
    (line,) = before.leftovers(tmp_path)
    assert line.startswith("process: ")
    assert line.endswith("sleep 1000 ")
    pid = int(line.split()[1])
    os.kill(pid, 9)
    monkeypatch.setattr(leftovers, "_PATIENCE_SECONDS", 30)
    assert before.leftovers(tmp_path) == []


def test_a_dying_process_may_die(before: leftovers.Before, tmp_path: Path) -> None:
    subprocess.run(["setsid", "-f", "sleep", "0.2"], check=True)
    assert before.leftovers(tmp_path) == []


def test_a_descriptor_and_a_lock_are_found(before: leftovers.Before, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert before.leftovers(tmp_path) == [f"descriptor: {file.fileno()} -> {path}", f"lock: {path}"]
    assert before.leftovers(tmp_path) == []


def test_an_unfinished_file_is_found_but_content_is_not(before: leftovers.Before, tmp_path: Path) -> None:
    for name in ("tmp/token", "layers/sha256/x/full/tmp/data", "live/id"):
        (tmp_path / name).mkdir(parents=True)
    assert sorted(before.leftovers(tmp_path)) == [f"file: {tmp_path}/live/id", f"file: {tmp_path}/tmp/token"]


@requires("root")
@pytest.mark.root
def test_a_mount_is_found(before: leftovers.Before, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    try:
        (line,) = before.leftovers()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert line.startswith("mount: ")
    assert str(tmp_path) in line
