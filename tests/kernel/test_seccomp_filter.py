"""Filters in the kernel: what a process under one really gets."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrun.linux import capabilities, seccomp
from tests.support.seccomp_run import default, run

pytest.importorskip("pyrun._seccomp", reason="needs libseccomp")
pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs x86_64: the numbers are its")

FCHMODAT2, OPEN_TREE_ATTR = 452, 467


def test_fchmodat2_is_enosys_under_a_profile_older_than_it(tmp_path: Path) -> None:
    # The newest call that this profile names is clone3 (435): its author knew nothing of fchmodat2 (6.6).
    document = json.loads(seccomp.read_profile("default"))
    for rule in document["syscalls"]:
        new = {"faccessat2", "process_madvise", "epoll_pwait2", "mount_setattr", "quotactl_fd", "process_mrelease"}
        new |= {name for name in rule["names"] if name.startswith(("landlock_", "lsm_", "futex_wa", "futex_re"))}
        new |= {"memfd_secret", "set_mempolicy_home_node", "cachestat", "fchmodat2", "map_shadow_stack", "statmount"}
        new |= {"listmount", "mseal", "setxattrat", "getxattrat", "listxattrat", "removexattrat", "openat2"}
        new |= {"close_range", "pidfd_getfd"}
        rule["names"] = [name for name in rule["names"] if name not in new] or ["read"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    target = tmp_path / "file"
    target.write_text("")
    target.chmod(0o600)
    program = seccomp.compiled(str(tmp_path / "cache"), str(path), capabilities.DEFAULT)
    answers = run(program, [[FCHMODAT2, -100, str(target), 0o644, 0], [165, 0, 0, 0, 0, 0]], tmp_path)
    assert answers == [(-1, errno.ENOSYS), (-1, errno.EPERM)]
    assert target.stat().st_mode & 0o777 == 0o600


def test_fchmodat2_works_under_the_default_profile(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("")
    target.chmod(0o600)
    (answer,) = run(default(tmp_path), [[FCHMODAT2, -100, str(target), 0o644, 0]], tmp_path)
    if answer == (-1, errno.ENOSYS):
        pytest.skip("kernel: older than 6.6, it has no fchmodat2")
    assert answer == (0, 0)
    assert target.stat().st_mode & 0o777 == 0o644


def test_default_profile_in_the_kernel(tmp_path: Path) -> None:
    calls: list[list[Any]] = [
        [39],  # getpid
        [165, "none", str(tmp_path), "tmpfs", 0, 0],  # mount
        [272, 0x10000000],  # unshare(CLONE_NEWUSER)
        [435, 0, 0],  # clone3
        [41, 40, 1, 0],  # socket(AF_VSOCK)
        [41, 1, 1, 0],  # socket(AF_UNIX)
        [OPEN_TREE_ATTR, -100, "/", 0, 0, 0],
        [250, 1, 0],  # keyctl
    ]
    answers = run(default(tmp_path), calls, tmp_path)
    assert answers[0][0] > 0
    assert [error for _result, error in answers] == [
        0, errno.EPERM, errno.EPERM, errno.ENOSYS, errno.EPERM, 0, errno.ENOSYS, errno.EPERM,
    ]  # fmt: skip


def test_kernel_accepts_the_filter_of_every_set(tmp_path: Path) -> None:
    for caps in (0, capabilities.DEFAULT, capabilities.ALL):
        for pretend in (False, True):
            program = seccomp.compiled(str(tmp_path), "default", caps, extra_pretend=pretend)
            assert run(program, [[39]], tmp_path)[0][0] > 0
