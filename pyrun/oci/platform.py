"""Platforms: ``os/architecture[/variant]``, this machine's, and which entry of an index fits.

It must not know of registries. Names as Go's GOOS and GOARCH; spellings and fallbacks as containerd's. Hot.
"""

from __future__ import annotations

import os
import sys

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol, TypeVar

    class Fields(Protocol):
        """What an index entry or an image config says."""

        @property
        def os(self) -> str: ...
        @property
        def architecture(self) -> str: ...
        @property
        def variant(self) -> str | None: ...

    class Entry(Protocol):
        """An entry of an index."""

        @property
        def platform(self) -> Fields | None: ...

    E = TypeVar("E", bound=Entry)

_ARCHITECTURES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "amd64": ("amd64", ""),
    "i386": ("386", ""), "i486": ("386", ""), "i586": ("386", ""), "i686": ("386", ""), "386": ("386", ""),
    "aarch64": ("arm64", ""), "arm64": ("arm64", ""), "arm": ("arm", "v7"),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
    "armv5tel": ("arm", "v5"), "armv5tejl": ("arm", "v5"), "armv6l": ("arm", "v6"), "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "ppc64le": ("ppc64le", ""), "ppc64": ("ppc64", ""), "s390x": ("s390x", ""), "riscv64": ("riscv64", ""),
    "loongarch64": ("loong64", ""), "loong64": ("loong64", ""),
    "mips64": ("mips64le" if sys.byteorder == "little" else "mips64", ""), "mips64le": ("mips64le", ""),
}  # fmt: skip
_SYSTEMS = ("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "plan9", "js", "wasip1", "android")
# x86-64-ABI "Micro-Architecture Levels", in the kernel's names of the flags (pni is SSE3, abm is LZCNT).
_AMD64_LEVELS = (
    ("v2", "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    ("v3", "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"),
    ("v4", "avx512f avx512bw avx512cd avx512dq avx512vl"),
)


class Platform:
    """A normalised platform; ``variant`` is empty for the architecture's baseline (amd64 v1, arm64 v8)."""

    __slots__ = ("architecture", "os", "variant")

    def __init__(self, os: str, architecture: str, variant: str = "") -> None:
        self.os, self.architecture, self.variant = _normalised(os, architecture, variant)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/architecture[/variant]``, ``os`` or ``architecture`` alone (the rest is this machine's).

        Raises:
            InvalidInputError: no platform.
        """
        parts = text.split("/")
        for part in parts:
            if not part or not part.isascii() or part.strip("_.-") != part or not _is_word(part):
                raise _invalid(text, f"{part!r} is no name of an OS, an architecture or a variant")
        if len(parts) == 1:
            word = parts[0].lower()
            if word in _SYSTEMS:
                return cls(word, host().architecture)
            if word in _ARCHITECTURES:
                return cls("linux", word)
            raise _invalid(text, "unknown operating system or architecture")
        if len(parts) > 3:
            raise _invalid(text, "more than three parts")
        return cls(*parts)

    @classmethod
    def of(cls, fields: Fields) -> Platform:
        """Normalise what an index entry or an image config says."""
        return cls(fields.os, fields.architecture, fields.variant or "")

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def __repr__(self) -> str:
        return f"Platform({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Platform) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def from_parts(whole: str | None, os_: str | None, architecture: str | None, variant: str | None) -> str | None:
    """Put podman's --os, --arch and --variant together as --platform has them; what is left out is this machine's.

    Raises: InvalidInputError for both, or a variant of no architecture.
    """
    if not (os_ or architecture or variant):
        return whole
    if whole:
        raise InvalidInputError("--platform cannot be given together with --os, --arch or --variant")
    if variant and not architecture:
        raise InvalidInputError("--variant is one of an architecture", hint="give --arch too, or --platform")
    here = host()
    return "/".join(filter(None, (os_ or here.os, architecture or here.architecture, variant)))


def host(*, with_variant: bool = False) -> Platform:
    """Give this machine's platform; ``with_variant`` also finds the amd64 level (reads /proc/cpuinfo)."""
    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    if with_variant and architecture == "amd64":
        variant = _amd64_level()
    return Platform("linux", architecture, variant)


def acceptable(wanted: Platform) -> list[Platform]:
    """List what runs where ``wanted`` is wanted, best first: lower variants, then the 32-bit sibling."""
    os_, architecture = wanted.os, wanted.architecture
    if architecture == "amd64":
        found = [Platform(os_, "amd64", f"v{level}") for level in range(_level(wanted, 1), 0, -1)]
        return [*found, Platform(os_, "386")]
    if architecture == "arm":
        return [Platform(os_, "arm", f"v{level}") for level in range(_level(wanted, 7), 4, -1)]
    if architecture == "arm64":
        arm = [Platform(os_, "arm", f"v{level}") for level in range(8, 4, -1)]
        exact = [wanted] if wanted.variant else []
        return [*exact, Platform(os_, "arm64"), *arm]
    return [wanted, Platform(os_, architecture)] if wanted.variant else [wanted]


def runs(found: Platform, wanted: Platform) -> bool:
    """Say whether an image for ``found`` may be used where ``wanted`` is wanted."""
    return found in acceptable(wanted)


def best_match(entries: Iterable[E], wanted: Platform) -> E | None:
    """Choose the entry that fits best; the first of equals, as containerd does; None if nothing fits.

    An entry that names no platform is taken last: its config must be checked after it was fetched.
    """
    order = acceptable(wanted)
    best: E | None = None
    best_rank = len(order) + 1
    for entry in entries:
        if entry.platform is None:
            rank = len(order)
        else:
            platform = Platform.of(entry.platform)
            if platform not in order:
                continue
            rank = order.index(platform)
        if rank < best_rank:
            best, best_rank = entry, rank
    return best


def _normalised(os_: str, architecture: str, variant: str) -> tuple[str, str, str]:
    os_, architecture, variant = os_.lower(), architecture.lower(), variant.lower()
    if os_ == "macos":
        os_ = "darwin"
    architecture, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
    variant = variant or implied
    if variant.isdigit():
        variant = f"v{variant}"
    if (architecture, variant) in (("amd64", "v1"), ("arm64", "v8")):
        variant = ""
    return os_, architecture, variant


def _level(platform: Platform, default: int) -> int:
    # "v7" is 7; arm64's "v8.2" and the like never come here. A level that does not exist gives the baseline.
    text = platform.variant[1:]
    level = int(text) if platform.variant[:1] == "v" and text.isdecimal() and len(text) == 1 else default
    return level if level <= 8 else default


def _amd64_level() -> str:
    try:
        fd = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = os.read(fd, 16384).decode("ascii", "replace")  # the first processor's entry is enough
    finally:
        os.close(fd)
    flags = set(text.partition("\nflags")[2].partition("\n")[0].partition(":")[2].split())
    level = ""
    for name, needed in _AMD64_LEVELS:
        if not flags.issuperset(needed.split()):
            break
        level = name
    return level


def _is_word(text: str) -> bool:
    return all(character.isalnum() or character in "_.-" for character in text)


def _invalid(text: str, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"invalid platform: {text!r}: {reason}", hint="a platform is os/architecture[/variant], as in linux/arm64"
    )
