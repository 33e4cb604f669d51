"""Turn a failure record of the native code into an error that a person can act on.

It must not know how the record was carried. Record: native/plan/plan.h ``struct plan_failure``.
"""

from __future__ import annotations

import os
from struct import unpack

from pyrun.errors import CommandNotExecutableError, CommandNotFoundError, ConflictError, KernelError, SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.plan import Plan

RECORD_BYTES = 32
_ENOENT, _ENOTDIR, _EPERM, _ENOSPC, _EINVAL, _EAGAIN, _EDQUOT = 2, 20, 1, 28, 22, 11, 122


class Failure:
    """One record, decoded. ``step`` -1: before the first step; ``syscall`` names the call that failed.

    ``words``: what a helper program said on its standard error.
    """

    __slots__ = ("errno", "op", "step", "syscall", "words")

    def __init__(self, step: int, op: int, errno: int, syscall: str) -> None:
        self.step = step
        self.op = op
        self.errno = errno
        self.syscall = syscall
        self.words = ""

    @classmethod
    def decode(cls, record: bytes) -> Failure:
        """Decode the 32 bytes of a record."""
        step, op, errno, syscall = unpack("=iii20s", record)
        return cls(step, op, errno, syscall.split(b"\0", 1)[0].decode())


def to_error(
    failure: Failure, plan: Plan | None, command: str
) -> KernelError | CommandNotFoundError | CommandNotExecutableError | ConflictError:
    """Return the error for a start or an exec that failed."""
    from pyrun.runtime.plan import OP_CHDIR, OP_EXEC, OP_FUSE_OVERLAY, OPS

    reason = os.strerror(failure.errno).lower()
    if failure.op == OP_EXEC and failure.syscall.startswith("exec"):
        return _exec_error(failure.errno, command, reason)
    if failure.syscall == "network":
        return KernelError(
            "cannot set up the network: "
            + (failure.words.split("\n")[-1] or f"the helper ended with status {failure.errno}"),
            hint="`--network none` and `--network host` need no helper; `pyrun info` says what it lacks",
        )
    if failure.syscall == "network timeout":
        return KernelError(
            "cannot set up the network: its program was not ready in time",
            hint="`pyrun info` names the program; another version of it, or --network none or host, may do",
        )
    if failure.syscall == "publish":
        return _publish_error(failure, reason)
    if failure.syscall == "open(peer)":
        return KernelError(
            f"cannot join the namespaces of another container: it has just ended, or is out of reach: {reason}",
            hint="start both again, the other one first",
        )
    if failure.syscall == "killed":
        return KernelError(
            "cannot start the container: its first process was killed before it could execute the program",
            hint="was memory short? `dmesg` names what the kernel killed",
        )
    if failure.syscall == "state":
        return KernelError(
            "cannot start the container: a process of its last run is still there",
            hint="its monitor was killed; `pyrun kill` or `pyrun rm -f` ends the process",
        )
    if failure.op == OP_FUSE_OVERLAY and failure.words:
        reason = f"{reason}: {failure.words.splitlines()[-1]}"
    what = plan.describe(failure.step) if plan is not None and failure.step >= 0 else "start the container"
    if failure.op == OP_CHDIR and failure.errno in (_ENOENT, _ENOTDIR):
        return CommandNotFoundError(command, f"cannot {what}: {reason}", hint="give an existing directory with -w")
    return SyscallError(
        f"cannot {what}: {failure.syscall}: {reason}",
        syscall=failure.syscall,
        errno=failure.errno,
        step=failure.step,
        op=OPS[failure.op - 1] if failure.op > 0 else "",
        hint=_hint(failure),
    )


def _publish_error(failure: Failure, reason: str) -> ConflictError:
    """``words``: a request of slirp4netns's API, a newline, the answer, perhaps cut off (native/monitor/network.c)."""
    from pyrun.oci import json

    request, _, answer = failure.words.partition("\n")
    try:
        asked = json.loads(request)["arguments"]
        where = f"{asked['host_addr']}:{asked['host_port']}/{asked['proto']}"
    except (ValueError, KeyError, TypeError):
        where = request
    try:
        reason = str(json.loads(answer)["error"]["desc"])
    except (ValueError, KeyError, TypeError):
        reason = answer.strip() or reason
    return ConflictError(
        f"cannot publish port: {where}: slirp4netns: {reason}",
        hint="the port was taken while the container started: choose another, or let pyrun choose",
    )


def _exec_error(errno: int, command: str, reason: str) -> CommandNotFoundError | CommandNotExecutableError:
    if errno in (_ENOENT, _ENOTDIR):
        if "/" in command:
            return CommandNotFoundError(command, f"{reason} (the file, or the interpreter that it names)")
        return CommandNotFoundError(command, "executable file not found in $PATH")
    return CommandNotExecutableError(command, reason)


def _hint(failure: Failure) -> str:
    """errno by context: the same number means other things to other calls."""
    call, errno = failure.syscall, failure.errno
    if call in ("clone3", "unshare") and errno == _EPERM:
        return "user namespaces are forbidden here; `pyrun info` names the setting that allows them"
    if call in ("clone3", "unshare") and errno in (_ENOSPC, _EDQUOT):
        return "the limit of namespaces is reached: sysctl user.max_user_namespaces, user.max_mnt_namespaces"
    if call in ("clone3", "fork") and errno == _EAGAIN:
        return "the limit of processes is reached: ulimit -u"
    if call == "write(uid_map)" and errno == _EPERM:
        return "an id mapping was refused; `pyrun info` shows your subordinate ids"
    if call.startswith(("newuidmap", "newgidmap")):
        return "check /etc/subuid and /etc/subgid, and that newuidmap is setuid root (package uidmap)"
    if call.startswith(("mount", "move_mount", "fsmount")) and errno == _ENOSPC:
        return "the limit of mounts is reached: sysctl fs.mount-max"
    if errno in (_ENOSPC, _EDQUOT):
        return "free some space on the disk of the store: `pyrun system df` tells what takes it"
    if call.startswith("fcntl(OFD"):
        return "it is running already"
    return ""
