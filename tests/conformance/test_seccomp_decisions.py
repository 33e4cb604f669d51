"""Our default filter against podman's and crun's: every system call, with and without the capabilities that matter.

crun compiles our own resolved profile (the runtime-spec object): that compares compilers. podman brings its own
profile (containers-common): that compares policies. A difference that is not in a table here fails, and so does one
whose two sides are not the ones in the table.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pyrun.linux import bpf, capabilities, seccomp, seccomp_compile, seccomp_profile
from tests.support import bpf_machine, seccomp_peers

pytest.importorskip("pyrun._seccomp", reason="needs libseccomp")
pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs x86_64: the numbers are its"),
    pytest.mark.skipif(not (shutil.which("podman") and shutil.which("crun")), reason="peers: podman, crun"),
    pytest.mark.skipif(not shutil.which("busybox"), reason="peers: busybox-static"),
    pytest.mark.requires("unprivileged", "userns", "subids", "seccomp", "busybox"),
]

EXTRA = (
    "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "SYS_MODULE", "SYS_TIME", "BPF", "PERFMON", "SYSLOG", "SYS_CHROOT",
    "SYS_BOOT", "SYS_RAWIO", "SYS_PACCT", "DAC_READ_SEARCH", "SYS_NICE", "SYS_TTY_CONFIG",
)  # fmt: skip
SETS: dict[str, list[str]] = {
    "none": [],
    "default": list(capabilities.DEFAULT_NAMES),
    **{f"default+{cap}": [*capabilities.DEFAULT_NAMES, f"CAP_{cap}"] for cap in EXTRA},
    "ALL": ["ALL"],
}
NUMBERS = range(471)
# First arguments that some rule looks at: families of socket, flags of clone, personalities.
FIRST = {
    "socket": range(48),
    "clone": (0, 0x11, *(1 << bit | 0x11 for bit in range(25, 31)), 0x20011, 0x01000011),
    "personality": (0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 1, 0x40000),
}
ALLOW, EPERM, ENOSYS = ("allow", 0), ("errno", 1), ("errno", 38)

_NOT_DOCKER = "containers-common allows it whatever the capabilities; the kernel asks for them"
_UNLISTED = "podman answers ENOSYS to what its profile does not name, Docker EPERM"
_OLDER = "containers-common of Debian 12 is older than the call; Docker's profile allows it"
_REFUSED = "containers-common refuses it, Docker allows it"
# name: ({(ours, podman's)}, reason)
PODMAN: dict[str, tuple[set[tuple[tuple[str, int], tuple[str, int]]], str]] = {
    "socket": (
        {(EPERM, ALLOW)},
        "Docker lists the families since CVE-2026-31431; podman refuses netlink audit without AUDIT_WRITE only",
    ),
    "clone": ({(EPERM, ALLOW)}, "podman lets a container make namespaces, Docker does not without SYS_ADMIN"),
    "clone3": ({(ENOSYS, ALLOW)}, "its flags are behind a pointer: Docker sends C libraries to clone"),
    "personality": ({(EPERM, ENOSYS)}, _UNLISTED),
    **{
        name: ({(EPERM, ALLOW)}, _NOT_DOCKER)
        for name in (
            "mount", "umount2", "pivot_root", "unshare", "setns", "open_tree", "move_mount", "fsopen", "fsconfig",
            "fsmount", "fspick", "mount_setattr", "reboot", "syslog", "mbind", "set_mempolicy", "get_mempolicy",
            "keyctl", "pidfd_getfd",
        )
    },
    **{
        name: ({(EPERM, ENOSYS)}, _UNLISTED)
        for name in (
            "_sysctl", "create_module", "get_kernel_syms", "getpmsg", "putpmsg", "afs_syscall", "tuxcall", "security",
            "vserver", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register",
        )
    },
    **{
        name: ({(EPERM, ENOSYS), (ALLOW, ENOSYS)}, f"{_UNLISTED}; with the capability: {_OLDER}")
        for name in (
            "quotactl_fd", "set_mempolicy_home_node", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules",
        )
    },
    "query_module": ({(EPERM, ALLOW)}, "gone since Linux 2.6; podman still allows it with SYS_MODULE"),
    "bpf": ({(ALLOW, EPERM)}, "containers-common of Debian 12 wants SYS_ADMIN, not BPF"),
    "perf_event_open": ({(ALLOW, EPERM)}, "containers-common of Debian 12 wants SYS_ADMIN, not PERFMON"),
    **{name: ({(ALLOW, EPERM)}, _REFUSED) for name in ("vmsplice", "io_pgetevents")},
    **{
        name: ({(ALLOW, ENOSYS)}, _OLDER)
        for name in (
            "uretprobe", "futex_waitv", "cachestat", "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait",
            "futex_requeue", "statmount", "listmount", "mseal", "setxattrat", "getxattrat", "listxattrat",
            "removexattrat",
        )
    },
}  # fmt: skip

_NO_LIBSECCOMP = "crun leaves out what its libseccomp does not know; we decide it by number"
_NO_ENOSYS = "crun gives calls newer than the profile the default EPERM; runc and we ENOSYS"
CRUN: dict[str, tuple[set[tuple[tuple[str, int], tuple[str, int]]], str]] = {
    **{name: ({(ALLOW, EPERM)}, _NO_LIBSECCOMP) for name in (*seccomp_compile.NEW_CALLS, "uretprobe")},
    **{f"syscall {number}": ({(ENOSYS, EPERM)}, _NO_ENOSYS) for number in (*range(336, 424), 467, 468, 469, 470)},
    **{name: ({(ENOSYS, EPERM)}, _NO_ENOSYS) for name in ("open_tree_attr", "file_getattr", "file_setattr")},
}


@pytest.fixture(name="root", scope="module")
def root_file_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seccomp_peers.root_file_system(tmp_path_factory.mktemp("seccomp") / "rootfs")


Table = dict[str, tuple[set[tuple[tuple[str, int], tuple[str, int]]], str]]


def compare(ours: bytes, theirs: bytes, table: Table) -> list[str]:
    """Return the differences that the table does not explain."""
    mine, peer = bpf.decode(ours), bpf.decode(theirs)
    unexplained = []
    for number in NUMBERS:
        name = seccomp_compile.call_name(number)
        for first in FIRST.get(name, (0, 0xFFFFFFFF)):
            data = bpf_machine.seccomp_data("x86_64", number, (first,))
            pair = (bpf_machine.meaning(bpf_machine.run(mine, data)), bpf_machine.meaning(bpf_machine.run(peer, data)))
            if pair[0] != pair[1] and pair not in table.get(name, (set(), ""))[0]:
                unexplained.append(f"{name} ({number}, first argument {first:#x}): ours {pair[0]}, theirs {pair[1]}")
    return unexplained


def mask(caps: list[str]) -> int:
    return capabilities.evaluate(["ALL"]) if caps == ["ALL"] else capabilities.mask(caps)


@pytest.mark.parametrize("caps", SETS.values(), ids=SETS.keys())
def test_crun_makes_the_same_of_our_profile(caps: list[str], root: Path, tmp_path: Path) -> None:
    bits = mask(caps)
    release = os.uname().release
    resolved = seccomp_profile.load(seccomp.read_profile("default"), "default", bits, "x86_64", release)
    ours = seccomp.compiled(str(tmp_path / "cache"), "default", bits)
    assert ours
    assert compare(ours, seccomp_peers.crun(tmp_path, root, resolved.oci()), CRUN) == []


@pytest.mark.parametrize("caps", SETS.values(), ids=SETS.keys())
def test_podman_decides_the_same_but_for_the_table(caps: list[str], root: Path, tmp_path: Path) -> None:
    ours = seccomp.compiled(str(tmp_path / "cache"), "default", mask(caps))
    assert ours
    assert compare(ours, seccomp_peers.podman(root, caps), PODMAN) == []


def test_the_comparison_sees_a_difference(root: Path, tmp_path: Path) -> None:
    """The oracle can fail: a filter for more capabilities than podman was given must be told apart."""
    theirs = seccomp_peers.podman(root, list(capabilities.DEFAULT_NAMES))
    ours = seccomp.compiled(str(tmp_path / "cache"), "default", capabilities.ALL)
    assert ours
    found = {line.split()[0] for line in compare(ours, theirs, PODMAN)}
    assert {"acct", "chroot", "quotactl", "kexec_load"} & found == {"acct", "quotactl"}
