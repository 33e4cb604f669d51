"""Compiled filters: what they decide, and the cache in front of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrun.errors import FeatureMissingError, InvalidConfigError, InvalidInputError
from pyrun.linux import bpf, capabilities, seccomp, seccomp_compile, seccomp_profile
from tests.support import bpf_machine

pytest.importorskip("pyrun._seccomp", reason="needs libseccomp")

ENOSYS, EPERM, ALLOW = ("errno", 38), ("errno", 1), ("allow", 0)


def profile(tmp_path: Path, **fields: object) -> str:
    document = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], **fields}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))
    return str(path)


def allow(*names: str, **fields: object) -> dict[str, object]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **fields}


@pytest.fixture(name="default")
def default_filter(tmp_path: Path) -> bytes:
    program = seccomp.compiled(str(tmp_path / "cache"), "default", capabilities.DEFAULT, "x86_64")
    assert program
    return program


@pytest.mark.parametrize(
    ("nr", "args", "expected"),
    [
        (0, (), ALLOW),  # read
        (165, (), EPERM),  # mount
        (161, (), ALLOW),  # chroot: SYS_CHROOT is in the default set
        (272, (), EPERM),  # unshare
        (435, (), ENOSYS),  # clone3: glibc then falls back to clone
        (56, (0x11,), ALLOW),  # clone, as fork does
        (56, (0x10000011,), EPERM),  # clone with CLONE_NEWUSER
        (56, (0x02000000,), EPERM),  # with CLONE_NEWCGROUP
        (41, (2,), ALLOW),  # socket AF_INET
        (41, (1,), ALLOW),
        (41, (16,), ALLOW),  # AF_NETLINK
        (41, (38,), EPERM),  # AF_ALG
        (41, (40,), EPERM),  # AF_VSOCK
        (135, (0,), ALLOW),  # personality PER_LINUX
        (135, (0xFFFFFFFF,), ALLOW),  # ask
        (135, (0x0040000,), EPERM),  # ADDR_NO_RANDOMIZE
        (250, (), EPERM),  # keyctl
        (452, (), ALLOW),  # fchmodat2: the profile names it, libseccomp 2.5.4 does not know it
        (335, (), ALLOW),  # uretprobe
        (336, (), ENOSYS),  # newer, in the hole below 424
        (467, (), ENOSYS),  # open_tree_attr: newer than the profile
        (9999, (), ENOSYS),
    ],
)
def test_default_profile(default: bytes, nr: int, args: tuple[int, ...], expected: tuple[str, int]) -> None:
    assert bpf_machine.decision(default, "x86_64", nr, args) == expected


def test_other_architectures_of_the_machine(default: bytes) -> None:
    assert bpf_machine.decision(default, "x86", 3) == ALLOW  # read
    assert bpf_machine.decision(default, "x86", 21) == EPERM  # mount
    assert bpf_machine.decision(default, "x86", 452) == ALLOW
    assert bpf_machine.decision(default, "x86", 467) == ENOSYS
    assert bpf_machine.decision(default, "x32", bpf.X32_BIT | 0) == ALLOW
    assert bpf_machine.decision(default, "x32", bpf.X32_BIT | 520) == ALLOW  # x32's own execve
    assert bpf_machine.decision(default, "x32", bpf.X32_BIT | 467) == ENOSYS
    assert bpf_machine.decision(default, "x32", bpf.X32_BIT | 600) == ENOSYS
    assert bpf_machine.decision(default, "aarch64", 63)[0].startswith("kill")


def test_aarch64(tmp_path: Path) -> None:
    program = seccomp.compiled(str(tmp_path), "default", capabilities.DEFAULT, "aarch64")
    assert program
    decide = [bpf_machine.decision(program, "aarch64", nr) for nr in (63, 40, 452, 467, 435)]
    assert decide == [ALLOW, EPERM, ALLOW, ENOSYS, ENOSYS]
    assert bpf_machine.decision(program, "arm", 3) == ALLOW
    assert bpf_machine.decision(program, "arm", 0xF0002) == ALLOW  # cacheflush: private numbers are not "newer"
    assert bpf_machine.decision(program, "arm", 0xF0004) == EPERM
    assert bpf_machine.decision(program, "x86_64", 0)[0].startswith("kill")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("caps", [0, capabilities.DEFAULT, capabilities.ALL])
def test_the_binary_tree_decides_as_the_list(machine: str, caps: int) -> None:
    resolved = seccomp_profile.load(seccomp.read_profile("default"), "default", caps, machine, "6.1.0")
    tree = bpf.decode(seccomp_compile.compile_resolved(resolved, machine))
    plain = bpf.decode(seccomp_compile.compile_resolved(resolved, machine, optimize=False))
    assert tree != plain
    for arch in ("x86_64", "x86") if machine == "x86_64" else ("aarch64", "arm"):
        for nr in [*range(480), *(bpf.X32_BIT | n for n in range(560))]:
            for arg in (0, 8, 40, 0x10000000):
                data = bpf_machine.seccomp_data(arch, nr, (arg,))
                assert bpf_machine.run(tree, data) == bpf_machine.run(plain, data), (arch, nr, arg)


def test_newer_than_a_reduced_profile_is_enosys(tmp_path: Path) -> None:
    path = profile(tmp_path, syscalls=[allow("read", "write", "openat2")])  # openat2 is 437
    program = seccomp.compiled(str(tmp_path), path, 0, "x86_64")
    assert program
    decide = {nr: bpf_machine.decision(program, "x86_64", nr) for nr in (0, 2, 437, 438, 452)}
    assert decide == {0: ALLOW, 2: EPERM, 437: ALLOW, 438: ENOSYS, 452: ENOSYS}


@pytest.mark.parametrize("default_action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"])
def test_a_profile_that_allows_by_default_allows_new_calls(tmp_path: Path, default_action: str) -> None:
    rule = {"names": ["mkdir", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}
    path = profile(tmp_path, defaultAction=default_action, syscalls=[rule])
    program = seccomp.compiled(str(tmp_path), path, 0, "x86_64")
    assert program
    assert bpf_machine.decision(program, "x86_64", 83) == EPERM
    assert bpf_machine.decision(program, "x86_64", 452) == EPERM
    assert bpf_machine.decision(program, "x86_64", 468)[0] == default_action[9:].lower()


def test_arguments_all_hold_unless_one_is_compared_twice(tmp_path: Path) -> None:
    def compare(*triples: tuple[int, int, str]) -> list[dict[str, object]]:
        return [{"index": i, "value": v, "op": f"SCMP_CMP_{op}"} for i, v, op in triples]

    both = allow("kill", args=compare((0, 1, "EQ"), (1, 9, "EQ")))
    either = allow("tkill", args=compare((0, 1, "EQ"), (0, 2, "EQ")))
    masked = allow("umask", args=[{"index": 0, "value": 0o77, "valueTwo": 0o22, "op": "SCMP_CMP_MASKED_EQ"}])
    path = profile(tmp_path, syscalls=[allow("read", "removexattrat"), both, either, masked])
    program = seccomp.compiled(str(tmp_path), path, 0, "x86_64")
    assert program
    assert bpf_machine.decision(program, "x86_64", 62, (1, 9)) == ALLOW
    assert bpf_machine.decision(program, "x86_64", 62, (1, 8)) == EPERM
    assert [bpf_machine.decision(program, "x86_64", 200, (n,)) for n in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]
    assert [bpf_machine.decision(program, "x86_64", 95, (n,)) for n in (0o22, 0o122, 0o23)] == [ALLOW, ALLOW, EPERM]


def test_arguments_for_a_call_that_libseccomp_lacks_are_refused_not_ignored(tmp_path: Path) -> None:
    if not seccomp_compile._is_unknown("file_setattr"):
        pytest.skip("this libseccomp knows file_setattr")
    rule = {
        "names": ["file_setattr"],
        "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
    }
    path = profile(tmp_path, defaultAction="SCMP_ACT_ALLOW", syscalls=[rule])
    with pytest.raises(FeatureMissingError, match="arguments for file_setattr"):
        seccomp.compiled(str(tmp_path), path, 0, "x86_64")


def test_unknown_architecture_and_missing_file(tmp_path: Path) -> None:
    path = profile(tmp_path, architectures=["SCMP_ARCH_PDP11"])
    with pytest.raises(InvalidConfigError) as error:
        seccomp.compiled(str(tmp_path), path, 0, "x86_64")
    assert error.value.pointer == "/architectures/0"
    with pytest.raises(InvalidInputError, match=r"cannot read seccomp profile: /nowhere\.json: No such file"):
        seccomp.compiled(str(tmp_path), "/nowhere.json", 0)


def test_unconfined_is_no_filter_unless_it_must_pretend(tmp_path: Path) -> None:
    assert seccomp.compiled(str(tmp_path), "unconfined", 0) is None
    program = seccomp.compiled(str(tmp_path), "unconfined", 0, "x86_64", extra_pretend=True)
    assert program
    assert bpf_machine.decision(program, "x86_64", 165) == ALLOW
    assert bpf_machine.decision(program, "x86_64", 92, (0, 5, 5)) == ("errno", 0)


# -- the cache


def entry(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


@pytest.mark.parametrize(
    "other",
    [
        ("default", capabilities.ALL, "x86_64", False),
        ("default", capabilities.DEFAULT, "aarch64", False),
        ("default", capabilities.DEFAULT, "x86_64", True),
        ("default", capabilities.DEFAULT, "x86_64", (1000, 1000)),
    ],
)
def test_whatever_changes_the_filter_is_in_the_key(
    tmp_path: Path, other: tuple[str, int, str, bool | tuple[int, int]]
) -> None:
    first = seccomp.compiled(str(tmp_path), "default", capabilities.DEFAULT, "x86_64")
    assert seccomp.compiled(str(tmp_path), *other) != first
    assert len(list(tmp_path.iterdir())) == 2


def test_capabilities_may_be_names_numbers_or_a_mask(tmp_path: Path) -> None:
    for same in (capabilities.DEFAULT, capabilities.DEFAULT_NAMES, capabilities.numbers(capabilities.DEFAULT)):
        seccomp.compiled(str(tmp_path), "default", same, "x86_64")
    entry(tmp_path)


def test_a_hit_does_not_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = seccomp.compiled(str(tmp_path), "default", 0, "x86_64")
    monkeypatch.setattr(seccomp_compile, "compile_profile", None)
    assert seccomp.compiled(str(tmp_path), "default", 0, "x86_64") == first


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "foreign"])
def test_a_damaged_entry_is_compiled_again(tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    first = seccomp.compiled(str(cache), "default", capabilities.DEFAULT, "x86_64")
    path = entry(cache)
    good = path.read_bytes()
    if damage == "flip":
        path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    elif damage == "truncate":
        path.write_bytes(good[:-8])
    elif damage == "empty":
        path.write_bytes(b"")
    else:  # a valid entry, under the name of another one
        seccomp.compiled(str(tmp_path / "other"), "default", capabilities.ALL, "x86_64")
        path.write_bytes(entry(tmp_path / "other").read_bytes())
    assert seccomp.compiled(str(cache), "default", capabilities.DEFAULT, "x86_64") == first
    assert path.read_bytes() == good


def test_another_libseccomp_compiles_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libseccomp.so.2"
    library.write_bytes(b"old")
    monkeypatch.setattr(seccomp_compile, "library_path", lambda: str(library))
    cache = tmp_path / "cache"
    seccomp.compiled(str(cache), "default", 0, "x86_64")
    before = entry(cache).read_bytes()
    seccomp.compiled(str(cache), "default", 0, "x86_64")
    assert entry(cache).read_bytes() == before
    library.write_bytes(b"newer")
    seccomp.compiled(str(cache), "default", 0, "x86_64")
    assert entry(cache).read_bytes() != before


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert seccomp.compiled(str(tmp_path / "file" / "cache"), "default", 0, "x86_64")


def test_the_library_is_the_one_that_is_loaded() -> None:
    assert os.path.exists(seccomp_compile.library_path())
    assert "libseccomp" in seccomp_compile.library_path() or "_seccomp" in seccomp_compile.library_path()


def test_a_hit_imports_next_to_nothing(tmp_path: Path) -> None:
    seccomp.compiled(str(tmp_path), "default", capabilities.DEFAULT)
    root = str(Path(seccomp.__file__).parents[2])
    script = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        "from pyrun.linux import seccomp, capabilities\n"
        "assert seccomp.compiled(sys.argv[2], 'default', capabilities.DEFAULT)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-I", "-S", "-c", script, root, str(tmp_path)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    extra = {name for name in loaded if name.split(".")[0] not in ("pyrun", "os", "stat", "posixpath", "genericpath")}
    assert extra <= {"__future__", "_blake2", "_collections_abc", "_stat", "errno"}
    assert {name for name in loaded if name.startswith("pyrun")} == {
        "pyrun", "pyrun.errors", "pyrun.linux", "pyrun.linux.capabilities", "pyrun.linux.seccomp",
    }  # fmt: skip
