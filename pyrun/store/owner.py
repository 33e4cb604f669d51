"""Who owns unfinished work: a token that is part of its file name, and the answer to: is that owner dead?

It must not know what the work is. Since the token *is* the name, no crash can leave work without an owner.
Token: MACHINE-BOOT-PIDNS-PID-STARTTIME-RANDOM[.SUFFIX]. Hot: a container's directory is built under one.
"""

from __future__ import annotations

import os

from pyrun.errors import is_no_answer
from pyrun.store.fsio import read_bytes

_UNKNOWN = "0" * 12
_mine: tuple[int, str] | None = None


def token(suffix: str = "") -> str:
    """Return a file name that nobody else uses and that says who we are; ``suffix`` may name the object."""
    global _mine
    pid = os.getpid()
    if _mine is None or _mine[0] != pid:  # a forked child is another owner
        _mine = pid, f"{machine()}-{boot()}-{_pid_namespace()}-{pid}-{start_time(pid)}"
    name = f"{_mine[1]}-{os.urandom(6).hex()}"
    return f"{name}.{suffix}" if suffix else name


def is_of_this_boot(name: str) -> bool:
    """Say whether a token's owner works, or worked, on this machine since it was started."""
    return name.split("-")[:2] == [machine(), boot()]


def is_dead(name: str) -> bool:
    """Say whether the owner that a token names can no longer be at work.

    False where that cannot be known: another machine's work, another pid namespace's, a name that is no token.
    """
    parts = name.partition(".")[0].split("-")
    if len(parts) != 6 or parts[0] != machine():
        return False
    if parts[1] != boot():
        return True
    if parts[2] != _pid_namespace():
        return False
    # A pid alone may be another process by now: proc(5), /proc/PID/stat field 22.
    return not parts[3].isdigit() or start_time(int(parts[3])) != parts[4]


def machine() -> str:
    """Return 12 characters that tell this machine from others that share the store."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            text = read_bytes(path).decode("ascii", "replace").strip()
        except OSError as error:
            if is_no_answer(error):
                raise  # another machine's work is never swept
            continue
        if len(text) >= 12 and text.isalnum():
            return text[:12]
    return os.uname().nodename.encode("utf-8", "surrogateescape").hex()[:12].ljust(12, "0")


def boot() -> str:
    """Return 12 characters that change with every boot."""
    try:
        return read_bytes("/proc/sys/kernel/random/boot_id").decode("ascii").strip().replace("-", "")[:12]
    except OSError as error:
        if is_no_answer(error):
            raise  # all that this boot has begun would be taken for dead
        return _UNKNOWN


def start_time(pid: int) -> str:
    """Return when a process began, in clock ticks after boot; empty if there is no such process or only its zombie."""
    try:
        stat = read_bytes(f"/proc/{pid}/stat")
    except OSError as error:
        if is_no_answer(error):
            raise
        return ""
    # The command name may hold spaces and parentheses: the fields are counted after the last ")".
    fields = stat[stat.rindex(b")") + 2 :].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def _pid_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "0"
