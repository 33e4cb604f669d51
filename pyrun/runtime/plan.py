"""A plan: the steps between clone and execve, as data. Built here, executed by native/plan.

It must not know why a step is there (runtime/compile.py decides). Numbers and layout: native/plan/plan.h; a test
compares them with what the native code says. ``describe`` is what errors and ``--debug=plan`` show.
"""

from __future__ import annotations

from _struct import pack  # struct is its Python half, 0.1 ms

MAGIC = 0x4E4C5059
VERSION = 1
NONE = 0xFFFFFFFF

OPS = (
    "propagation", "overlay", "root_bind", "fsmount", "bind", "mkdir", "symlink", "sysctl", "mask", "readonly",
    "console", "pivot", "root_readonly", "hostname", "rlimit", "loopback_up", "sync", "session", "umask", "bounding",
    "ids", "capabilities", "no_new_privs", "seccomp", "chdir", "exec", "keyring", "own_root",
    "fuse_overlay", "die_with_parent", "bind_peer", "oom_score", "secret",
)  # fmt: skip
(
    OP_PROPAGATION, OP_OVERLAY, OP_ROOT_BIND, OP_FSMOUNT, OP_BIND, OP_MKDIR, OP_SYMLINK, OP_SYSCTL, OP_MASK,
    OP_READONLY, OP_CONSOLE, OP_PIVOT, OP_ROOT_READONLY, OP_HOSTNAME, OP_RLIMIT, OP_LOOPBACK_UP, OP_SYNC, OP_SESSION,
    OP_UMASK, OP_BOUNDING, OP_IDS, OP_CAPABILITIES, OP_NO_NEW_PRIVS, OP_SECCOMP, OP_CHDIR, OP_EXEC, OP_KEYRING,
    OP_OWN_ROOT, OP_FUSE_OVERLAY, OP_DIE_WITH_PARENT, OP_BIND_PEER, OP_OOM_SCORE, OP_SECRET,
) = range(1, len(OPS) + 1)  # fmt: skip

OR_ELSE = 1  # the next step is the fallback
IGNORE_MISSING = 2
OPEN_FIRST = 4  # paths of the host are opened before the process is root of a namespace that has not our id

# mount(2), mount_setattr(2)
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
ATTR_RDONLY = 1
ATTR_NOSUID = 2
ATTR_NODEV = 4
ATTR_NOEXEC = 8
ATTR_STRICTATIME = 0x20

OVERLAY_VOLATILE = 1
OVERLAY_OLD_API = 2
BIND_RECURSIVE = 1
EXEC_INIT = 1


class Step:
    """One step; ``strings`` are up to four texts, lists of texts, or bytes (a filter)."""

    __slots__ = ("a", "b", "count", "flags", "op", "strings")

    def __init__(
        self, op: int, flags: int, count: int, a: int, b: int, strings: tuple[str | list[str] | bytes | None, ...]
    ) -> None:
        self.op = op
        self.flags = flags
        self.count = count
        self.a = a
        self.b = b
        self.strings = strings


class Plan:
    """Steps in order."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(
        self, op: int, *strings: str | list[str] | bytes | None, a: int = 0, b: int = 0, count: int = 0, flags: int = 0
    ) -> None:
        """Append a step."""
        self.steps.append(Step(op, flags, count, a, b, strings))

    def encode(self) -> bytes:
        """Return the bytes that ``plan_load`` reads."""
        table: list[bytes] = []
        data = bytearray()
        for step in self.steps:
            offsets = [NONE, NONE, NONE, NONE]
            for index, text in enumerate(step.strings):
                if text is None:
                    continue
                offsets[index] = len(data)
                if isinstance(text, bytes):
                    data += text + b"\0"
                elif isinstance(text, list):
                    data += b"".join(_encode(item) for item in text)
                else:
                    data += _encode(text)
            table.append(pack("=HHIQQIIII", step.op, step.flags, step.count, step.a, step.b, *offsets))
        data += b"\0"
        return pack("=IIII", MAGIC, VERSION, len(table), len(data)) + b"".join(table) + bytes(data)

    def describe(self, index: int) -> str:
        """Return a step in words, for "cannot …"."""
        step = self.steps[index]
        first, second = (*(_shown(text) for text in step.strings), "", "")[:2]
        return _SENTENCES.get(step.op, OPS[step.op - 1].replace("_", " ")).format(
            first, second, step.a, step.b, step.count
        )

    def describe_all(self) -> str:
        """Return the whole plan, one line a step, for ``--debug=plan``."""
        lines = []
        for index, step in enumerate(self.steps):
            note = (
                " (else the next)"
                if step.flags & OR_ELSE
                else " (if it is there)"
                if step.flags & IGNORE_MISSING
                else " (opened first)"
                if step.flags & OPEN_FIRST
                else ""
            )
            extra = " ".join(
                part
                for part in (
                    f"a={step.a:#x}" if step.a else "",
                    f"b={step.b:#x}" if step.b else "",
                    f"count={step.count}" if step.count else "",
                    *(_shown(text) for text in step.strings[2:]),
                )
                if part
            )
            lines.append(
                f"{index:3} {OPS[step.op - 1]:14} {self.describe(index)}{note}{'  [' + extra + ']' if extra else ''}"
            )
        return "\n".join(lines) + "\n"


_SENTENCES = {
    OP_PROPAGATION: "keep mounts from leaking to the host",
    OP_OVERLAY: "mount the overlay of {1} on {0}",
    OP_ROOT_BIND: "use {0} as the root file system",
    OP_FSMOUNT: "mount {0} on {1}",
    OP_BIND: "bind {0} on {1}",
    OP_MKDIR: "make directory {0}",
    OP_SYMLINK: "link {1} to {0}",
    OP_SYSCTL: "set sysctl {0} to {1}",
    OP_MASK: "mask {0}",
    OP_READONLY: "make {0} read-only",
    OP_CONSOLE: "open a terminal",
    OP_PIVOT: "change the root directory",
    OP_ROOT_READONLY: "make the root file system read-only",
    OP_HOSTNAME: "set the host name {0}",
    OP_RLIMIT: "set resource limit {4} to {2}:{3}",
    OP_LOOPBACK_UP: "bring the loopback interface up",
    OP_SYNC: "wait for the start",
    OP_SESSION: "start a session",
    OP_BOUNDING: "drop capabilities from the bounding set",
    OP_IDS: "become user {2} group {3}",
    OP_CAPABILITIES: "set capabilities",
    OP_SECCOMP: "install the seccomp filter",
    OP_CHDIR: "change to directory {0}",
    OP_EXEC: "execute {0}",
    OP_KEYRING: "make a session keyring",
    OP_FUSE_OVERLAY: "mount {1} on {0}",
    OP_DIE_WITH_PARENT: "end with the monitor",
    OP_BIND_PEER: "share {0} of the other container",
    OP_SECRET: "write the secret {0}",
    OP_OOM_SCORE: "set the OOM score to {0}",
    OP_OWN_ROOT: "give / to the container's root",
}


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"


def _shown(text: str | list[str] | bytes | None) -> str:
    if text is None:
        return ""
    if isinstance(text, bytes):
        return f"({len(text)} bytes)"
    if isinstance(text, list):
        return " ".join(text) if len(text) < 4 else f"{text[0]} and {len(text) - 1} more"
    return text
