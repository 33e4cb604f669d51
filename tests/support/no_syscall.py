"""Run a command in a kernel that lacks some system calls: ``no_syscall.py NAME[=ERRNO],… -- COMMAND…``.

A seccomp filter answers ENOSYS (or ERRNO), so that a fallback for an old kernel is really executed on a new one. Where
the caller may (CAP_SYS_ADMIN in its user namespace) no_new_privs is not set, and setuid programs go on working.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

from pyrun.linux import bpf

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

# asm-generic/unistd.h: the same on every architecture since 424; older ones by architecture.
NUMBERS = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "pidfd_open": 434,
    "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
    **({"keyctl": 250, "mknodat": 259, "mount": 165} if platform.machine() == "x86_64"
       else {"keyctl": 219, "mknodat": 33, "mount": 40}),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def program(refused: dict[str, int]) -> bytes:
    """Return the filter that answers each named call with its errno."""
    instructions: list[bpf.Instruction] = [(bpf.LD_ABS, 0, 0, bpf.NR)]
    for name, error in refused.items():
        instructions += [(bpf.JEQ, 0, 1, NUMBERS[name]), (bpf.RET_K, 0, 0, bpf.RET_ERRNO | error)]
    return bpf.encode([*instructions, (bpf.RET_K, 0, 0, bpf.RET_ALLOW)])


def install(refused: dict[str, int]) -> None:
    """Put this process, and all that it becomes, under the filter."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(refused)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_program = _Program(len(code) // 8, ctypes.addressof(buffer))
    for nnp in (False, True):
        if nnp and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            break
        if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_program)) == 0:
            return
    raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def parse(text: str) -> dict[str, int]:
    """Return {name: errno} of ``NAME[=ERRNO],…``."""
    pairs = (item.partition("=") for item in text.split(","))
    return {name: getattr(errno, error or "ENOSYS") for name, _, error in pairs}


def main() -> None:
    names, dashes, *command = sys.argv[1:]
    if dashes != "--" or not command:
        raise SystemExit(__doc__)
    install(parse(names))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
