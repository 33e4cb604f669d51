"""``--ulimit``: resource limits by docker's names (go-units ulimit.go).

It must not set them. Hot. Numbers: include/uapi/asm-generic/resource.h, the same on x86, arm and riscv.
"""

from __future__ import annotations

import resource

from pyrun.errors import InvalidInputError

UNLIMITED = -1
NUMBERS = {
    "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8,
    "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
}  # fmt: skip
# What docker's own service asks for; a user gets as much of it as the hard limit allows.
_DEFAULT_NOFILE = 1048576


class Ulimit:
    """One limit; -1 is unlimited."""

    __slots__ = ("hard", "name", "soft")

    def __init__(self, name: str, soft: int, hard: int) -> None:
        self.name = name
        self.soft = soft
        self.hard = hard

    @property
    def number(self) -> int:
        """The kernel's RLIMIT_ number."""
        return NUMBERS[self.name]

    @property
    def type(self) -> str:
        """The name of the OCI runtime-spec, ``RLIMIT_NOFILE``."""
        return "RLIMIT_" + self.name.upper()

    def __repr__(self) -> str:
        return f"Ulimit({self.name}={self.soft}:{self.hard})"


def parse_ulimit(spec: str) -> Ulimit:
    """Read one ``name=soft[:hard]``; without ``hard`` both are the same.

    Raises: InvalidInputError with docker's message.
    """
    name, equals, values = spec.partition("=")
    if not equals:
        raise InvalidInputError(f"invalid ulimit argument: {spec}")
    if name not in NUMBERS:
        raise InvalidInputError(f"invalid ulimit type: {name}", hint=f"one of {', '.join(sorted(NUMBERS))}")
    parts = values.split(":")
    if len(parts) > 2:
        raise InvalidInputError(f"too many limit values - {values}, can only have up to two, `soft[:hard]`")
    soft = _number(parts[0], spec)
    hard = _number(parts[1], spec) if len(parts) == 2 else soft
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        shown = "-1 (unlimited)" if soft == UNLIMITED else str(soft)
        raise InvalidInputError(
            f"ulimit soft limit must be less than or equal to hard limit: soft: {shown}, hard: {hard}"
        )
    return Ulimit(name, soft, hard)


def resolve(specs: list[str], *, privileged: bool = False) -> list[Ulimit]:
    """Return the limits of a container: those asked for, the last of a name, over the default of open files.

    ``privileged``: hard limits may be raised (root of the machine); else one above the caller's is refused, since
    setrlimit(2) would be: it wants CAP_SYS_RESOURCE in the first user namespace.
    """
    chosen = {"nofile": _default_nofile(privileged)}
    for spec in specs:
        limit = parse_ulimit(spec)
        if not privileged:
            _check_hard(limit, spec)
        chosen[limit.name] = limit
    return list(chosen.values())


def _check_hard(limit: Ulimit, spec: str) -> None:
    allowed = resource.getrlimit(limit.number)[1]
    if allowed != UNLIMITED and (limit.hard == UNLIMITED or limit.hard > allowed):
        raise InvalidInputError(
            f"cannot set ulimit: {spec}: the hard limit of this user is {allowed}",
            hint=f"--ulimit {limit.name}={allowed}, or raise it in /etc/security/limits.conf and log in again",
        )


def _default_nofile(privileged: bool) -> Ulimit:
    hard = resource.getrlimit(NUMBERS["nofile"])[1]
    value = _DEFAULT_NOFILE if privileged or hard == UNLIMITED else min(hard, _DEFAULT_NOFILE)
    return Ulimit("nofile", value, value)


def _number(text: str, spec: str) -> int:
    if text in ("-1", "unlimited"):
        return UNLIMITED
    if not text or len(text) > 19 or text.strip("0123456789"):
        raise InvalidInputError(f"invalid ulimit argument: {spec}")
    return int(text)
