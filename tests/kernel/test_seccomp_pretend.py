"""The single-id map's filter, in a user namespace with one id."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.seccomp_run import default, run

pytest.importorskip("pyrun._seccomp", reason="needs libseccomp")

# x86_64
CHOWN, FCHOWN, LCHOWN, FCHOWNAT, MKNOD, MKNODAT = 92, 93, 94, 260, 133, 259
SETUID, SETGID, SETRESUID, SETREUID, SETGROUPS, GETGROUPS, GETUID = 105, 106, 117, 113, 116, 115, 102
SETXATTR, GETXATTR = 188, 191
LEAVE = 0xFFFFFFFF
# struct vfs_cap_data, revision 2: cap_net_bind_service+ep
FILE_CAPABILITY = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]


pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs x86_64: the numbers are its"),
    pytest.mark.requires("userns", "seccomp"),
]


def single(directory: Path, calls: list[list[Any]], uid: int = 0, gid: int = 0, *options: str) -> list[tuple[int, int]]:
    program = default(directory, extra_pretend=(uid, gid) if (uid, gid) != (0, 0) else True)
    return run(program, calls, directory, "--single-id", str(uid), str(gid), *options)


@pytest.fixture(name="file")
def target_file(tmp_path: Path) -> str:
    path = tmp_path / "file"
    path.write_text("")
    return str(path)


def owners(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_uid, status.st_gid


def test_without_the_filter_the_kernel_refuses(tmp_path: Path, file: str) -> None:
    """What the filter is for: if this ever succeeds, it can go."""
    calls: list[list[Any]] = [[CHOWN, file, 5, 5], [MKNOD, file + "d", 0o20644, 259], [SETGROUPS, 0, 0]]
    answers = run(default(tmp_path), calls, tmp_path, "--single-id", "0", "0")
    assert [error for _r, error in answers] == [errno.EINVAL, errno.EPERM, errno.EPERM]


def test_chown_to_other_ids_pretends(tmp_path: Path, file: str) -> None:
    before = owners(file)
    descriptor = 0  # stdin: never touched, the call must not run
    calls: list[list[Any]] = [
        [CHOWN, file, 5, 5],
        [CHOWN, file, 0, 42],
        [CHOWN, file, 42, LEAVE],
        [LCHOWN, file, 1000, 1000],
        [FCHOWN, descriptor, 7, 7],
        [FCHOWNAT, -100, file, 33, 33, 0],
        [CHOWN, file + ".missing", 5, 5],
    ]
    assert single(tmp_path, calls) == [(0, 0)] * len(calls)
    assert owners(file) == before


def test_chown_to_the_mapped_ids_is_the_kernel_s(tmp_path: Path, file: str) -> None:
    os.chmod(file, 0o4755)
    calls: list[list[Any]] = [
        [CHOWN, file, 0, 0],
        [CHOWN, file, LEAVE, LEAVE],
        [FCHOWNAT, -100, file, 0, LEAVE, 0],
        [CHOWN, file + ".missing", 0, 0],
        [CHOWN, "/proc/self/nothing", LEAVE, 0],
    ]
    errors = [error for _r, error in single(tmp_path, calls)]
    assert errors == [0, 0, 0, errno.ENOENT, errno.ENOENT]
    assert not os.stat(file).st_mode & stat.S_ISUID, "a real chown clears the setuid bit"


def test_ids_other_than_root_s_may_be_the_mapped_ones(tmp_path: Path, file: str) -> None:
    calls: list[list[Any]] = [
        [CHOWN, file, 1000, 1000],
        [CHOWN, file + ".missing", 1000, 1000],
        [CHOWN, file + ".missing", 0, 0],
    ]
    errors = [error for _r, error in single(tmp_path, calls, 1000, 1000)]
    assert errors == [0, errno.ENOENT, 0]


def test_mknod_of_devices_pretends(tmp_path: Path) -> None:
    device, fifo, plain, whiteout = (str(tmp_path / name) for name in ("device", "fifo", "plain", "whiteout"))
    calls: list[list[Any]] = [
        [MKNOD, device, 0o20666, 259],
        [MKNOD, device, 0o60660, 2049],
        [MKNODAT, -100, device, 0o20666, 259],
        [MKNOD, fifo, 0o10600, 0],
        [MKNODAT, -100, plain, 0o100600, 0],
        [MKNOD, plain, 0o100600, 0],
        [MKNOD, whiteout, 0o20600, 0],
    ]
    errors = [error for _r, error in single(tmp_path, calls)]
    assert errors == [0, 0, 0, 0, 0, errno.EEXIST, 0]
    assert not os.path.lexists(device)
    assert stat.S_ISCHR(os.lstat(whiteout).st_mode), "0:0 is the kernel's to make, since 5.8"
    assert stat.S_ISFIFO(os.lstat(fifo).st_mode)
    assert stat.S_ISREG(os.lstat(plain).st_mode)


def test_setuid_and_setgid_are_told_the_truth(tmp_path: Path) -> None:
    calls: list[list[Any]] = [
        [SETUID, 0], [SETGID, 0], [SETRESUID, 0, LEAVE, 0], [SETREUID, LEAVE, 0],
        [SETUID, 1000], [SETGID, 1000], [SETRESUID, 1000, 1000, 1000], [SETREUID, 1000, LEAVE],
        [GETUID],
    ]  # fmt: skip
    answers = single(tmp_path, calls)
    assert [error for _r, error in answers[:8]] == [0, 0, 0, 0] + [errno.EINVAL] * 4
    assert answers[8] == (0, 0)


def test_setgroups_pretends_and_getgroups_does_not(tmp_path: Path) -> None:
    groups = len(os.getgroups())
    calls: list[list[Any]] = [[SETGROUPS, 0, 0], [SETGROUPS, 1, [0, 0, 0, 0]], [GETGROUPS, 0, 0]]
    assert single(tmp_path, calls) == [(0, 0), (0, 0), (groups, 0)]


@pytest.mark.parametrize("place", ["plain", "overlay"])
def test_file_capabilities_need_no_pretence(tmp_path: Path, place: str) -> None:
    """setxattr is not in the filter: the kernel keeps security.capability with the namespace's root id."""
    base = tmp_path / "base"
    base.mkdir()
    file = f"{base}/merged/file" if place == "overlay" else f"{base}/file"
    options = ("--overlay", str(base)) if place == "overlay" else ()
    calls: list[list[Any]] = [
        [MKNOD, file, 0o100755, 0],
        [SETXATTR, file, "security.capability", FILE_CAPABILITY, len(FILE_CAPABILITY), 0],
        [GETXATTR, file, "security.capability", 0, 0],
        [SETXATTR, file, "user.note", [1], 1, 0],
    ]
    answers = single(tmp_path, calls, 0, 0, *options)
    assert [error for _r, error in answers] == [0, 0, 0, 0]
    assert answers[2][0] in (20, 24)


def test_pretending_opens_nothing_that_the_profile_forbids(tmp_path: Path) -> None:
    calls: list[list[Any]] = [[165, "none", str(tmp_path), "tmpfs", 0, 0], [272, 0x10000000]]
    assert single(tmp_path, calls) == [(-1, errno.EPERM)] * 2
