"""Seccomp profiles: Docker's JSON format and the OCI runtime-spec's `linux.seccomp`, resolved for one container.

It must not know BPF or libseccomp. Cold: imported only when a filter must be compiled or a profile shown.
Source: moby/profiles seccomp; runtime-spec 1.2 config-linux.md "Seccomp".
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pyrun.errors import FeatureMissingError, InvalidConfigError
from pyrun.linux import capabilities

# The names of Go's ports, which the profile's includes.arches uses, and libseccomp's tokens.
GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_EPERM = 1  # runtime-spec: "If not specified the operation returns EPERM"
OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
)  # fmt: skip


class Argument(msgspec.Struct, rename="camel"):
    """One comparison: argument `index` `op` `value` (for MASKED_EQ: value is the mask, valueTwo the datum)."""

    index: int
    value: int
    op: str
    value_two: int = 0


class Condition(msgspec.Struct, rename="camel"):
    """When a Docker rule applies (includes) or does not (excludes)."""

    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class Rule(msgspec.Struct, rename="camel"):
    """One entry of `syscalls`."""

    action: str
    names: list[str] | None = None
    name: str | None = None
    errno_ret: int | None = None
    args: list[Argument] | None = None
    comment: str | None = None
    includes: Condition | None = None
    excludes: Condition | None = None

    def result(self) -> int:
        """Return the filter's return value for this rule."""
        return return_value(self.action, self.errno_ret)


class ArchMap(msgspec.Struct, rename="camel"):
    """A native architecture and those that its kernel also runs."""

    architecture: str
    sub_architectures: list[str] | None = None


class Document(msgspec.Struct, rename="camel"):
    """A profile as it is written; unknown fields (podman's errno names) are ignored."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[ArchMap] | None = None
    syscalls: list[Rule] | None = None
    flags: list[str] | None = None
    listener_path: str | None = None


class Profile:
    """A profile resolved for capabilities, machine and kernel."""

    __slots__ = ("architectures", "default_action", "default_errno", "known_names", "rules")

    def __init__(self, document: Document, architectures: list[str], rules: list[Rule]) -> None:
        self.default_action = document.default_action
        self.default_errno = document.default_errno_ret
        self.architectures = architectures
        self.rules = rules
        # Every name that the author wrote, also in rules that do not apply here: what the profile "knows".
        self.known_names = {name for rule in document.syscalls or () for name in rule.names or ()}

    @property
    def default_result(self) -> int:
        return return_value(self.default_action, self.default_errno)

    def oci(self) -> dict[str, Any]:
        """Return the runtime-spec's `linux.seccomp` object, for another runtime's config.json."""
        result: dict[str, Any] = {"defaultAction": self.default_action}
        if self.default_errno is not None:
            result["defaultErrnoRet"] = self.default_errno
        result["architectures"] = self.architectures
        result["syscalls"] = [_oci_rule(rule) for rule in self.rules]
        return result


def _oci_rule(rule: Rule) -> dict[str, Any]:
    result: dict[str, Any] = {"names": rule.names, "action": rule.action}
    if rule.errno_ret is not None:
        result["errnoRet"] = rule.errno_ret
    if rule.args:
        result["args"] = [msgspec.to_builtins(argument) for argument in rule.args]
    return result


def return_value(action: str, errno: int | None) -> int:
    """Return the SECCOMP_RET_ value of an action."""
    data = (_EPERM if errno is None else errno) if action in _WITH_ERRNO else 0
    return ACTIONS[action] | data


def load(text: bytes, source: str, caps: int, machine: str, release: str) -> Profile:
    """Return the profile of a JSON text as it applies to a container with these capabilities on this machine.

    Raises InvalidConfigError with the pointer of the bad field; FeatureMissingError for a machine without a table.
    """
    if machine not in NATIVE:
        raise FeatureMissingError(
            "seccomp filter", f"pyrun knows the system calls of x86_64 and aarch64, not {machine}"
        )
    document = _parse(text, source)
    _validate(document, source)
    for rule in document.syscalls or ():
        if rule.name is not None:
            rule.names = [rule.name]
    rules = [rule for rule in document.syscalls or () if _applies(rule, caps, GO_ARCH[machine], release, source)]
    return Profile(document, _architectures(document, machine), rules)


def _parse(text: bytes, source: str) -> Document:
    try:
        return msgspec.json.decode(text, type=Document)
    except msgspec.DecodeError as error:
        reason, _, path = str(error).partition(" - at `$")
        pointer = re.sub(r"\[(\d+|\.\.\.)\]", r"/\1", path.rstrip("`").replace(".", "/", 1))
        pointer = re.sub(r"(?<=[\w\]])\.(?=\w)", "/", pointer)
        raise InvalidConfigError(f"seccomp profile {source}", pointer, reason[:1].lower() + reason[1:]) from error


def _validate(document: Document, source: str) -> None:
    where = f"seccomp profile {source}"
    _check_action(document.default_action, document.default_errno_ret, where, "/defaultAction")
    if document.architectures and document.arch_map:
        raise InvalidConfigError(where, "/architectures", "use either 'architectures' or 'archMap'")
    if document.listener_path:
        raise InvalidConfigError(where, "/listenerPath", "SCMP_ACT_NOTIFY and its listener are not supported yet")
    if document.flags:
        raise InvalidConfigError(where, "/flags", "filter flags are not supported yet")
    for number, rule in enumerate(document.syscalls or ()):
        pointer = f"/syscalls/{number}"
        if rule.name is not None and rule.names:
            raise InvalidConfigError(where, pointer, "use either 'name' or 'names'")
        if rule.name is None and not rule.names:
            raise InvalidConfigError(where, pointer + "/names", "a rule must name at least one system call")
        _check_action(rule.action, rule.errno_ret, where, pointer + "/action")
        for index, argument in enumerate(rule.args or ()):
            if argument.op not in OPERATORS:
                raise InvalidConfigError(where, f"{pointer}/args/{index}/op", f"unknown operator {argument.op!r}")
            if not 0 <= argument.index <= 5:
                raise InvalidConfigError(where, f"{pointer}/args/{index}/index", "a system call has arguments 0 to 5")
            if not (0 <= argument.value < 1 << 64 and 0 <= argument.value_two < 1 << 64):
                raise InvalidConfigError(where, f"{pointer}/args/{index}/value", "must fit in 64 bits without a sign")


def _check_action(action: str, errno: int | None, where: str, pointer: str) -> None:
    if action not in ACTIONS:
        raise InvalidConfigError(where, pointer, f"unknown action {action!r}")
    # runtime-spec: errnoRet with an action that returns none is an error.
    if errno is not None and (action not in _WITH_ERRNO or not 0 <= errno <= 0xFFFF):
        raise InvalidConfigError(where, pointer, f"errnoRet {errno} does not go with {action}")


def _architectures(document: Document, machine: str) -> list[str]:
    if document.architectures:
        return list(document.architectures)
    for entry in document.arch_map or ():
        if entry.architecture == NATIVE[machine]:
            return [entry.architecture, *(entry.sub_architectures or ())]
    return [NATIVE[machine]]


def _applies(rule: Rule, caps: int, go_arch: str, release: str, source: str) -> bool:
    """Say whether a rule is in force: every included condition holds and no excluded one does."""
    wanted, refused = rule.includes, rule.excludes
    if refused is not None and (
        go_arch in (refused.arches or ())
        or any(_has(caps, name) for name in refused.caps or ())
        or (refused.min_kernel is not None and _kernel_at_least(release, refused.min_kernel, source))
    ):
        return False
    return wanted is None or (
        (not wanted.arches or go_arch in wanted.arches)
        and all(_has(caps, name) for name in wanted.caps or ())
        and (wanted.min_kernel is None or _kernel_at_least(release, wanted.min_kernel, source))
    )


def _has(caps: int, name: str) -> bool:
    number = capabilities.NUMBERS.get(name)
    return number is not None and bool(caps >> number & 1)


def _kernel_at_least(release: str, minimum: str, source: str) -> bool:
    wanted = re.fullmatch(r"(\d+)\.(\d+)", minimum)
    if wanted is None:
        raise InvalidConfigError(f"seccomp profile {source}", "/syscalls", f"minKernel {minimum!r} is not X.Y")
    running = re.match(r"(\d+)\.(\d+)", release)
    if running is None:
        return False
    return tuple(map(int, running.groups())) >= tuple(map(int, wanted.groups()))
