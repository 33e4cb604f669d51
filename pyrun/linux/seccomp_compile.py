"""Compile a seccomp profile to BPF through libseccomp (pyrun._seccomp).

It must not know the cache. Cold: imported when the cache has no answer.

The program is ours up to where it falls through to libseccomp's:
1. for a single-id map, the calls that pretend (seccomp_pretend);
2. calls that the profile names and this libseccomp is too old to know, decided by number;
3. calls newer than any that the profile's author knew: ENOSYS. A C library that gets EPERM for fchmodat2 gives up,
   one that gets ENOSYS falls back: runc does the same since 1.0.0-rc94;
4. libseccomp's binary tree.
"""

from __future__ import annotations

import errno
import importlib
import os
from typing import Any

from pyrun.errors import FeatureMissingError, InvalidConfigError
from pyrun.linux import bpf, seccomp_pretend, seccomp_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.linux.bpf import Instruction
    from pyrun.linux.seccomp_profile import Profile, Rule

_ENOSYS = 38
# Since 5.1 a new system call has one number on every architecture: those that libseccomp 2.5.4 (Debian 12) lacks.
NEW_CALLS = {
    "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455,
    "futex_requeue": 456, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
    "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465,
    "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469,
}  # fmt: skip
NEW_X86_64_CALLS = {"uretprobe": 335}
# Numbers from here are private to arm (__ARM_NR_BASE: cacheflush, set_tls) and no sign of age.
_ARM_PRIVATE = 0xF0000
# x32 has calls of its own between 512 and 547, above the shared ones: they are no sign of age either.
_X32_OWN = 512
_ARCHES = {
    "SCMP_ARCH_X86_64": ("x86_64", b"x86_64"),
    "SCMP_ARCH_X86": ("x86", b"x86"),
    "SCMP_ARCH_X32": ("x32", b"x32"),
    "SCMP_ARCH_AARCH64": ("aarch64", b"aarch64"),
    "SCMP_ARCH_ARM": ("arm", b"arm"),
}
# From 424 (pidfd_send_signal) on every architecture numbers alike; x86_64's own list had ended with rseq.
_SHARED, _RSEQ = 424, 334
_NATIVE_TOKEN = 0  # SCMP_ARCH_NATIVE


def _library() -> tuple[Any, Any]:
    try:
        module = importlib.import_module("pyrun._seccomp")
    except ImportError as error:
        raise FeatureMissingError(
            "seccomp filter",
            f"libseccomp cannot be loaded: {error}",
            hint="apt install libseccomp2, or build pyrun anew",
        ) from error
    return module.ffi, module.lib


def library_version() -> str:
    """Return libseccomp's version."""
    version = _library()[1].seccomp_version()
    return f"{version.major}.{version.minor}.{version.micro}"


def library_path() -> str:
    """Return the file of the libseccomp that this process has loaded (of the extension, if linked into it)."""
    _library()
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")[2]
            if os.path.basename(path).startswith("libseccomp."):
                return "/" + path
    return str(importlib.import_module("pyrun._seccomp").__file__)


def call_name(number: int, architecture: str = "SCMP_ARCH_X86_64") -> str:
    """Return the name of a system call, or its number in words."""
    ffi, lib = _library()
    text = lib.seccomp_syscall_resolve_num_arch(lib.seccomp_arch_resolve_name(_ARCHES[architecture][1]), number)
    if text == ffi.NULL:
        new = {value: name for name, value in (NEW_CALLS | NEW_X86_64_CALLS).items()}
        return new.get(number, f"syscall {number}")
    name: str = ffi.string(text).decode()
    lib.free(text)
    return name


def compile_profile(
    text: bytes, source: str, caps: int, machine: str, release: str, pretend: tuple[int, int] | None
) -> bytes:
    """Return the program for a profile's JSON text; an empty text is no profile: only what pretends.

    Raises InvalidConfigError, FeatureMissingError, InvalidInputError (program too long for the kernel).
    """
    if not text:
        tokens = [seccomp_profile.NATIVE[machine]] if machine in seccomp_profile.NATIVE else []
        prologue = [step for token in tokens for step in _section(token, None, pretend)]
        return bpf.encode([*prologue, (bpf.RET_K, 0, 0, bpf.RET_ALLOW)])
    return compile_resolved(seccomp_profile.load(text, source, caps, machine, release), machine, pretend, source)


def compile_resolved(
    profile: Profile, machine: str, pretend: tuple[int, int] | None = None, source: str = "", *, optimize: bool = True
) -> bytes:
    """Return the program for a resolved profile (see compile_profile)."""
    for number, token in enumerate(profile.architectures):
        if token not in _ARCHES:
            raise InvalidConfigError(f"seccomp profile {source}", f"/architectures/{number}", f"unknown {token!r}")
    prologue: list[Instruction] = []
    for token in sorted(set(profile.architectures) | {seccomp_profile.NATIVE[machine]}):
        prologue += _section(token, profile, pretend)
    return bpf.encode([*prologue, *bpf.decode(_libseccomp(profile, machine, optimize=optimize))])


# -- what precedes libseccomp's program


def _section(token: str, profile: Profile | None, pretend: tuple[int, int] | None) -> list[Instruction]:
    """Return the checks of one architecture, to be skipped by the others."""
    name = _ARCHES[token][0]
    number = _numbers(token)
    body: list[Instruction] = []
    if pretend is not None:
        body += seccomp_pretend.rules(number, *pretend, has_16_bit_ids=name in ("x86", "arm"))
    if profile is not None:
        body += _unknown_to_library(token, profile)
        body += _newer_than_profile(token, profile)
    if not body:
        return []
    if name == "x32":
        body = bpf.when(bpf.JGE, bpf.X32_BIT, body)
    elif name == "x86_64":
        # The same AUDIT_ARCH as x32: leave its numbers (and -1) alone.
        body = [(bpf.JGE, 0, 1, bpf.X32_BIT), (bpf.JA, 0, 0, len(body)), *body]
    load_number: Instruction = (bpf.LD_ABS, 0, 0, bpf.NR)
    return [(bpf.LD_ABS, 0, 0, bpf.ARCH), *bpf.when(bpf.JEQ, bpf.AUDIT_ARCH[name], [load_number, *body])]


def _numbers(token: str) -> Callable[[str], int]:
    """Return a function from names to an architecture's numbers (-1: libseccomp has never heard of it)."""
    _ffi, lib = _library()
    name, library_name = _ARCHES[token]
    arch = lib.seccomp_arch_resolve_name(library_name)
    bit = bpf.X32_BIT if name == "x32" else 0

    def number(call: str) -> int:
        known: int = lib.seccomp_syscall_resolve_name_arch(arch, call.encode())
        if known == -1:
            new = NEW_CALLS.get(call, NEW_X86_64_CALLS.get(call) if name == "x86_64" else None)
            return -1 if new is None else new | bit
        return known

    return number


def _is_unknown(call: str) -> bool:
    """Say whether libseccomp has never heard of a call, but we have."""
    known: int = _library()[1].seccomp_syscall_resolve_name(call.encode())
    return known == -1 and (call in NEW_CALLS or call in NEW_X86_64_CALLS)


def _unknown_to_library(token: str, profile: Profile) -> list[Instruction]:
    number = _numbers(token)
    decided: dict[int, int] = {}
    for rule in profile.rules:
        for call in rule.names or ():
            if not _is_unknown(call) or number(call) < 0:
                continue
            if rule.args:
                # Skipping it would widen a profile that allows by default: refuse, and say what would help.
                raise FeatureMissingError(
                    f"seccomp rule with arguments for {call}", f"libseccomp {library_version()} does not know it",
                    hint="a newer libseccomp, or a rule without args",
                )  # fmt: skip
            decided.setdefault(number(call), rule.result())
    return [
        step
        for call, result in sorted(decided.items())
        for step in bpf.when(bpf.JEQ, call, [(bpf.RET_K, 0, 0, result)])
    ]


def _newer_than_profile(token: str, profile: Profile) -> list[Instruction]:
    """Return ENOSYS for everything above the newest call that the profile names, as runc does.

    A profile that allows what it does not name, or answers ENOSYS anyway, needs none.
    """
    enosys = bpf.RET_ERRNO | _ENOSYS
    allows = profile.default_action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
    if allows or profile.default_result == enosys:
        return []
    number = _numbers(token)
    is_x32 = _ARCHES[token][0] == "x32"
    bit = bpf.X32_BIT if is_x32 else 0
    limit = _X32_OWN if is_x32 else _ARM_PRIVATE
    known = [value & ~bit for value in map(number, profile.known_names) if value >= 0]
    newest = max((value for value in known if value < limit), default=-1)
    if newest < 0:
        return []
    if is_x32:
        own = max((value for value in known if value >= limit), default=limit)
        block = bpf.when(bpf.JGE, bit | limit, bpf.when(bpf.JGT, bit | own, [(bpf.RET_K, 0, 0, enosys)]))
        return [*block, *_between(bit | newest, bit | limit, enosys)]
    gap: list[Instruction] = []
    if _ARCHES[token][0] == "x86_64" and newest >= _SHARED:
        # 64-bit-only calls are still being added in the hole below 424 (uretprobe 335, uprobe 336).
        old = max((value for value in known if value < _SHARED), default=0)
        gap = _between(max(old, _RSEQ), _SHARED, enosys)
    return [*gap, *_between(newest, _ARM_PRIVATE, enosys)]


def _between(above: int, below: int, result: int) -> list[Instruction]:
    # JGT above falls into JGE below, which skips the return.
    return [(bpf.JGT, 0, 2, above), (bpf.JGE, 1, 0, below), (bpf.RET_K, 0, 0, result)]


# -- libseccomp's program


def _libseccomp(profile: Profile, machine: str, *, optimize: bool) -> bytes:
    ffi, lib = _library()
    context = lib.seccomp_init(profile.default_result)
    if context == ffi.NULL:
        raise FeatureMissingError("seccomp filter", f"libseccomp {library_version()} refuses {profile.default_action}")
    try:
        _set_architectures(lib, context, profile, machine)
        for rule in profile.rules:
            if rule.result() != profile.default_result:  # libseccomp: EACCES; the default says it already
                _add_rule(ffi, lib, context, rule)
        if optimize:
            # 2: a binary tree instead of a list; since libseccomp 2.5.0. Older ones refuse, and the list is as right.
            lib.seccomp_attr_set(context, lib.SCMP_FLTATR_CTL_OPTIMIZE, 2)
        return _export(lib, context)
    finally:
        lib.seccomp_release(context)


def _set_architectures(lib: Any, context: Any, profile: Profile, machine: str) -> None:
    for token in sorted({seccomp_profile.NATIVE[machine], *profile.architectures}):
        result = lib.seccomp_arch_add(context, lib.seccomp_arch_resolve_name(_ARCHES[token][1]))
        if result != -errno.EEXIST:  # the machine's own is there from the start
            _check(result, f"add {token}")
    if machine != os.uname().machine:
        _check(lib.seccomp_arch_remove(context, _NATIVE_TOKEN), "remove the native architecture")


def _add_rule(ffi: Any, lib: Any, context: Any, rule: Rule) -> None:
    for call in rule.names or ():
        number = lib.seccomp_syscall_resolve_name(call.encode())
        if number == -1:
            continue  # unknown here: decided by number before, or by the default
        for comparisons in _alternatives(rule):
            array = ffi.new("struct scmp_arg_cmp[]", len(comparisons))
            for entry, argument in zip(array, comparisons, strict=True):
                entry.arg, entry.op = argument.index, getattr(lib, argument.op)
                entry.datum_a, entry.datum_b = argument.value, argument.value_two
            _check(lib.seccomp_rule_add_array(context, rule.result(), number, len(comparisons), array), f"add {call}")


def _alternatives(rule: Rule) -> list[list[seccomp_profile.Argument]]:
    """Return the comparisons of a rule, as sets of which one must hold.

    All must hold, but if one argument is compared twice, each comparison is a rule of its own (any may hold):
    libseccomp cannot do the former in one rule, and runc has made the latter the meaning of profiles.
    """
    arguments = rule.args or []
    if len({argument.index for argument in arguments}) < len(arguments):
        return [[argument] for argument in arguments]
    return [arguments]


def _export(lib: Any, context: Any) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(lib.seccomp_export_bpf(context, descriptor), "export")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise FeatureMissingError("seccomp filter", f"libseccomp {library_version()}: {what}: {os.strerror(-result)}")
