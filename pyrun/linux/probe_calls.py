"""System calls and forked children for the probes.

It must not know what is probed. Cold: ctypes is loaded here and nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Outcome = tuple[bool, str]

_LIBC = ctypes.CDLL(None, use_errno=True)
_CHILD_SECONDS = 15

# Numbers from 424 on are the same on every architecture that pyrun knows.
NUMBERS = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "pidfd_open": 434,
    "clone3": 435, "openat2": 437, "mount_setattr": 442, "landlock_create_ruleset": 444,
}  # fmt: skip
_OLD_NUMBERS = {
    "x86_64": {"seccomp": 317, "keyctl": 250, "pivot_root": 155},
    "aarch64": {"seccomp": 277, "keyctl": 219, "pivot_root": 41},
}

# sched.h
CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000
# mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE, MOVE_MOUNT_F_EMPTY_PATH = 0, 1, 6, 4
MNT_DETACH, AT_FDCWD, AT_EMPTY_PATH = 2, -100, 0x1000
PR_SET_NO_NEW_PRIVS = 38


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(name: str, *arguments: Any) -> int:
    """Make a system call by its name; raises OSError naming it."""
    number = NUMBERS.get(name) or _OLD_NUMBERS.get(os.uname().machine, {}).get(name)
    if number is None:
        raise OSError(38, f"{name}: number unknown on this machine")
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(name, _LIBC.syscall(ctypes.c_long(number), *converted))


def prctl(option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked("prctl", _LIBC.prctl(option, *padded))


def unshare(flags: int) -> None:
    _checked("unshare", _LIBC.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    encode = os.fsencode
    _checked(
        f"mount {kind or source}",
        _LIBC.mount(
            encode(source),
            encode(target),
            encode(kind) if kind else None,
            ctypes.c_ulong(flags),
            encode(data) if data else None,
        ),
    )


def unmount(target: str) -> None:
    _checked("umount2", _LIBC.umount2(os.fsencode(target), MNT_DETACH))


def message(error: OSError) -> str:
    """Return the reason of an error: ours name the call, Python's the path."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


def attempt(function: Callable[..., str], *arguments: Any) -> Outcome:
    """Return (True, what the function says) or (False, why not)."""
    try:
        return True, function(*arguments)
    except OSError as error:
        return False, message(error)


def in_child(function: Callable[[], Any]) -> Any:
    """Run a function in a forked child and return what it returns (JSON); raises OSError if it does not answer.

    The child may unshare, lock itself in and leave mounts behind: it ends by _exit(2), its namespaces with it.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            os.write(writer, json.dumps(function()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        answer = receive(reader)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # a no-op for a child that has ended; one that hangs must not stay
        os.waitpid(pid, 0)
    if not answer:
        raise OSError(5, "the probe's process gave no answer")
    return json.loads(answer)


def receive(descriptor: int) -> bytes:
    """Read to the end of a pipe; what is not there after a while never comes."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    answer = b""
    while poller.poll(_CHILD_SECONDS * 1000):
        part = os.read(descriptor, 65536)
        if not part:
            break
        answer += part
    return answer
