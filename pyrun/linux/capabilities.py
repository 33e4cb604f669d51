"""Capabilities: names, numbers, Docker's default set and the rules of --cap-add and --cap-drop.

It must not know how a set is applied (native/plan does that) nor who asked. Hot: imports nothing but errors.
Source: capabilities(7); include/uapi/linux/capability.h.
"""

from __future__ import annotations

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Index is the number of the capability; the ABI never renumbers.
NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(NAMES)}
ALL = (1 << len(NAMES)) - 1

# moby daemon/pkg/oci/caps: the set of a container that asks for nothing.
DEFAULT_NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip


def mask(capabilities: Iterable[str | int] | int) -> int:
    """Return the bit mask of names, numbers or a mask (which is returned as it is)."""
    if isinstance(capabilities, int):
        return capabilities
    bits = 0
    for capability in capabilities:
        bits |= 1 << (NUMBERS[capability] if isinstance(capability, str) else capability)
    return bits


def names(bits: int) -> list[str]:
    """Return the names in a mask, lowest number first: ``mask(names(m)) == m`` for m <= ALL."""
    return [name for number, name in enumerate(NAMES) if bits >> number & 1]


def numbers(bits: int) -> tuple[int, ...]:
    """Return the numbers in a mask, lowest first."""
    return tuple(number for number in range(bits.bit_length()) if bits >> number & 1)


DEFAULT = mask(DEFAULT_NAMES)


def last() -> int:
    """Return the highest capability that the running kernel knows (63 would be every bit)."""
    try:
        with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        # /proc not mounted or masked: capset(2) itself refuses what the kernel does not know.
        return len(NAMES) - 1


def evaluate(
    add: Iterable[str] = (), drop: Iterable[str] = (), *, privileged: bool = False, last_capability: int | None = None
) -> int:
    """Return the mask of a container's capabilities as Docker computes it.

    privileged wins over everything; ``--cap-add ALL`` is all but the dropped; ``--cap-drop ALL`` is only the
    added; else defaults, less the dropped, plus the added (an addition wins over a drop of the same name).
    Raises InvalidInputError for a name that does not exist, with Docker's words.
    Source: moby daemon/pkg/oci/caps TweakCapabilities.
    """
    known = (1 << ((last() if last_capability is None else last_capability) + 1)) - 1 & ALL
    if privileged:
        return known
    added, adds_all = _parse(add, "CapAdd", known)
    dropped, drops_all = _parse(drop, "CapDrop", known)
    if adds_all:
        return known & ~dropped
    if drops_all:
        return added
    return DEFAULT & known & ~dropped | added


def _parse(texts: Iterable[str], option: str, known: int) -> tuple[int, bool]:
    """Return the mask of the named capabilities and whether ALL was among them."""
    bits, is_all = 0, False
    for text in texts:
        name = text.strip().upper()
        if name in ("ALL", "CAP_ALL"):
            is_all = True
            continue
        if not name.startswith("CAP_"):
            name = "CAP_" + name
        number = NUMBERS.get(name)
        if number is None:
            raise InvalidInputError(
                f'invalid {option}: unknown capability: "{name}"',
                hint="capabilities(7) lists the names; the prefix CAP_ may be left out",
            )
        if not known >> number & 1:
            raise InvalidInputError(
                f"invalid {option}: capability not supported by your kernel"
                f' or not available in the current environment: "{name}"'
            )
        bits |= 1 << number
    return bits, is_all
