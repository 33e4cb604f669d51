"""Profiles: Docker's conditions, the OCI object, what malformed ones get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrun.errors import FeatureMissingError, InvalidConfigError
from pyrun.linux import capabilities, seccomp, seccomp_profile
from pyrun.linux.seccomp_profile import Profile

DEFAULT = seccomp.read_profile("default")


def load(
    document: object, caps: int = 0, machine: str = "x86_64", release: str = "6.1.0-18-amd64", source: str = "p.json"
) -> Profile:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return seccomp_profile.load(text, source, caps, machine, release)


def one(**fields: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", **fields}]}


def names(profile: Profile) -> set[str]:
    return {name for rule in profile.rules for name in rule.names or ()}


@pytest.mark.parametrize(
    ("caps", "present", "absent"),
    [
        ([], [], ["mount", "bpf", "chroot", "syslog", "open_by_handle_at", "kcmp", "reboot"]),
        (["CAP_SYS_ADMIN"], ["mount", "bpf", "setns", "unshare", "syslog"], ["reboot", "kcmp"]),
        (["CAP_SYS_CHROOT"], ["chroot"], ["mount"]),
        (["CAP_SYS_PTRACE"], ["kcmp", "pidfd_getfd"], ["mount"]),
        (["CAP_DAC_READ_SEARCH"], ["open_by_handle_at"], []),
        (["CAP_BPF"], ["bpf"], ["perf_event_open"]),
    ],
)
def test_default_profile_follows_the_capabilities(caps: list[str], present: list[str], absent: list[str]) -> None:
    found = names(load(DEFAULT, capabilities.mask(caps)))
    assert set(present) <= found
    assert not set(absent) & found


def test_default_profile_excludes_by_capability() -> None:
    clone3 = [r for r in load(DEFAULT).rules if r.names == ["clone3"]]
    assert [(r.action, r.errno_ret) for r in clone3] == [("SCMP_ACT_ERRNO", 38)]
    assert not [r for r in load(DEFAULT, capabilities.ALL).rules if r.names == ["clone3"]]


@pytest.mark.parametrize(
    ("machine", "architectures"),
    [
        ("x86_64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"]),
        ("aarch64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
    ],
)
def test_architectures_come_from_the_map(machine: str, architectures: list[str]) -> None:
    assert load(DEFAULT, machine=machine).architectures == architectures
    assert ("arch_prctl" in names(load(DEFAULT, machine=machine))) == (machine == "x86_64")
    assert ("set_tls" in names(load(DEFAULT, machine=machine))) == (machine == "aarch64")


@pytest.mark.parametrize(
    ("release", "applies"), [("4.7.9", False), ("4.8.0", True), ("4.10", True), ("6.18.44-fc", True), ("odd", False)]
)
def test_min_kernel(release: str, applies: bool) -> None:
    assert bool(load(one(includes={"minKernel": "4.8"}), release=release).rules) is applies
    assert bool(load(one(excludes={"minKernel": "4.8"}), release=release).rules) is not applies


def test_included_capabilities_must_all_be_there_excluded_none() -> None:
    both = capabilities.mask(["CAP_KILL", "CAP_CHOWN"])
    condition = {"caps": ["CAP_KILL", "CAP_CHOWN"]}
    assert load(one(includes=condition), both).rules
    assert not load(one(includes=condition), capabilities.mask(["CAP_KILL"])).rules
    assert not load(one(excludes=condition), capabilities.mask(["CAP_KILL"])).rules
    assert load(one(excludes=condition)).rules


def test_old_docker_profiles_use_name_and_architectures() -> None:
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": []}],
    }
    profile = load(document)
    assert names(profile) == {"read"}
    assert profile.architectures == ["SCMP_ARCH_X86_64"]


def test_the_oci_object_is_read_back_as_the_same_profile() -> None:
    profile = load(DEFAULT, capabilities.DEFAULT)
    again = load(profile.oci(), 0, "x86_64")
    assert again.oci() == profile.oci()
    assert profile.oci()["defaultErrnoRet"] == 1
    assert all("includes" not in rule and "comment" not in rule for rule in profile.oci()["syscalls"])
    json.dumps(profile.oci())


@pytest.mark.parametrize(
    ("document", "pointer", "reason"),
    [
        (b"{", "", "input data was truncated"),
        ({"syscalls": []}, "", "object missing required field `defaultAction`"),
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "/defaultAction", "unknown action 'SCMP_ACT_MAYBE'"),
        (one(names=[1]), "/syscalls/0/names/0", "expected `str`, got `int`"),
        (one(action="ALLOW"), "/syscalls/0/action", "unknown action 'ALLOW'"),
        (one(name="write"), "/syscalls/0", "use either 'name' or 'names'"),
        (one(names=[]), "/syscalls/0/names", "a rule must name at least one system call"),
        (one(errnoRet=5), "/syscalls/0/action", "errnoRet 5 does not go with SCMP_ACT_ALLOW"),
        (one(args=[{"index": 0, "value": 1, "op": "EQ"}]), "/syscalls/0/args/0/op", "unknown operator 'EQ'"),
        (one(args=[{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]), "/syscalls/0/args/0/index", "arguments 0 to 5"),
        (one(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]), "/syscalls/0/args/0/value", "64 bits"),
        (one(includes={"minKernel": "new"}), "/syscalls", "minKernel 'new' is not X.Y"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
             "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]},
            "/architectures", "use either 'architectures' or 'archMap'",
        ),
        ({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}, "/listenerPath", "not supported yet"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}, "/flags", "not supported yet"),
    ],
)  # fmt: skip
def test_malformed_profiles_are_refused_with_the_place(document: object, pointer: str, reason: str) -> None:
    with pytest.raises(InvalidConfigError) as error:
        load(document)
    assert error.value.pointer == pointer
    assert reason in error.value.reason
    assert "seccomp profile p.json" in error.value.message


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(FeatureMissingError, match="not sparc64"):
        load(DEFAULT, machine="sparc64")


def test_our_copy_of_docker_s_profile_is_sorted_and_whole() -> None:
    document = json.loads(DEFAULT)
    assert document["defaultAction"] == "SCMP_ACT_ERRNO"
    rules = document["syscalls"]
    assert all(rule["names"] == sorted(set(rule["names"])) for rule in rules)
    assert len(rules) == 56
    assert [len(rule["names"]) for rule in rules if "includes" not in rule and "args" not in rule] == [361, 1]
    families = sorted(rule["args"][0]["value"] for rule in rules if rule["names"] == ["socket"])
    assert families == [12, *range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46)]


def test_what_docker_never_allows_is_nowhere_in_our_copy() -> None:
    # docs.docker.com "Significant syscalls blocked by the default profile", less those that a capability opens
    never = {
        "add_key", "create_module", "get_kernel_syms", "io_uring_enter", "io_uring_register", "io_uring_setup",
        "kexec_file_load", "kexec_load", "keyctl", "migrate_pages", "move_pages", "nfsservctl", "pivot_root",
        "query_module", "request_key", "sysfs", "_sysctl", "swapoff", "swapon", "uselib", "userfaultfd", "ustat",
        "vm86", "vm86old",
    }  # fmt: skip
    assert not names(load(DEFAULT, capabilities.ALL)) & never
