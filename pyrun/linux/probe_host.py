"""Probes that need no namespace: programs, subordinate ids, devices, cgroup, single system calls.

It must not know what pyrun does without a feature (probe.py says).
"""

from __future__ import annotations

import importlib
import os
import pwd
import shutil
import signal
import stat
import struct
import subprocess
from typing import TYPE_CHECKING

from pyrun.linux import freezer as cgroup2
from pyrun.linux import probe_calls as calls
from pyrun.linux import subids

if TYPE_CHECKING:
    from pyrun.linux.probe_calls import Outcome

_RESOLVE_IN_ROOT = 0x10
_LANDLOCK_CREATE_RULESET_VERSION = 1
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CLONE_PIDFD, _SIGCHLD = 0x1000, 17
_FREEZE_SECONDS = 5.0


def user_name() -> str:
    """Return the user's name, or its number if it has none (containers, LDAP gone)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def sysctl(name: str) -> int | None:
    """Return a sysctl's value, None where this kernel has no such knob."""
    try:
        with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def program(name: str) -> Outcome:
    path = shutil.which(name)
    return (path is not None, path or "not in PATH")


def id_map_helper(name: str) -> Outcome:
    """Say whether newuidmap or newgidmap is there and has the privilege to write a map."""
    path = shutil.which(name)
    if path is None:
        return False, "not in PATH"
    if os.getuid() == 0:
        return True, f"{path} (run by root)"
    status = os.stat(path)
    if status.st_mode & stat.S_ISUID and status.st_uid == 0:
        how = "setuid root"
    else:
        try:
            os.getxattr(path, "security.capability")
            how = "file capability"
        except OSError:
            return False, f"{path} has neither the setuid bit nor a file capability"
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return False, f"{path} is {how}, but its file system is mounted nosuid"
    return True, f"{path} ({how})"


def subordinate_ranges(kind: str) -> list[tuple[int, int]]:
    """Return the user's (first, count) ranges; `kind` is "subuid" or "subgid".

    getsubids(1) is asked first: it knows of ranges that come from the network (libsubid, shadow >= 4.9).
    """
    if helper := shutil.which("getsubids"):
        command = [helper, "-g"] if kind == "subgid" else [helper]
        result = subprocess.run([*command, user_name()], capture_output=True, text=True, timeout=10, check=False)
        # "0: alice 100000 65536"
        lines = [line.split() for line in result.stdout.splitlines()]
        ranges = [(int(line[-2]), int(line[-1])) for line in lines if len(line) == 4]
        if result.returncode == 0 and ranges:
            return ranges
    return [(found.start, found.count) for found in subids.ranges(f"/etc/{kind}", os.getuid(), user_name())]


def subordinate_ids(kind: str) -> Outcome:
    """Say whether the user has the 65536 ids that images expect."""
    ranges = subordinate_ranges(kind)
    if not ranges:
        return False, f"/etc/{kind} has no line for {user_name()}"
    total = sum(count for _first, count in ranges)
    text = ", ".join(f"{first}+{count}" for first, count in ranges)
    return total >= 65536, text if total >= 65536 else f"{text}: images expect 65536 ids"


def map_ids(pid: int) -> str:
    """Write the full id map of a process by newuidmap and newgidmap; return "" or why it failed."""
    for helper, kind, own in (("newuidmap", "subuid", os.getuid()), ("newgidmap", "subgid", os.getgid())):
        ranges = subordinate_ranges(kind)
        if not ranges or not shutil.which(helper):
            return f"{helper} or its range in /etc/{kind} is missing"
        first, count = ranges[0]
        command = [helper, str(pid), "0", str(own), "1", "1", str(first), str(count)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if result.returncode:
            return result.stderr.strip() or f"{helper} ended with {result.returncode}"
    return ""


def no_new_privileges() -> Outcome:
    """Say whether this process may still gain privilege by executing a setuid program."""
    try:
        is_set = bool(importlib.import_module("prctl").get_no_new_privs())
    except (ImportError, OSError):
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            is_set = any(line.split() == ["NoNewPrivs:", "1"] for line in file)
    return not is_set, "already set: newuidmap cannot gain privilege" if is_set else "not set"


def python_prctl() -> Outcome:
    try:
        importlib.import_module("prctl")
    except ImportError as error:
        return False, str(error)
    return True, "importable"


def seccomp() -> Outcome:
    """Install a filter that allows everything, in a child."""

    def install() -> Outcome:
        import ctypes

        calls.prctl(calls.PR_SET_NO_NEW_PRIVS, 1)
        program = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000))
        header = struct.pack("@HP", 1, ctypes.addressof(program))
        calls.syscall("seccomp", 1, 0, header)
        return True, "installed a filter"

    return _in_child(install)


def landlock() -> Outcome:
    """Ask for the Landlock ABI: the call itself tells it."""
    try:
        version = calls.syscall("landlock_create_ruleset", None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    except OSError as error:
        return False, calls.message(error)
    return True, f"ABI {version}"


def openat2() -> Outcome:
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    try:
        os.close(calls.syscall("openat2", calls.AT_FDCWD, b"/", how, len(how)))
    except OSError as error:
        return False, calls.message(error)
    return True, "opened / with RESOLVE_IN_ROOT"


def clone3() -> Outcome:
    def try_it() -> Outcome:
        # struct clone_args: flags pidfd child_tid parent_tid exit_signal stack stack_size tls
        arguments = struct.pack("=8Q", 0, 0, 0, 0, _SIGCHLD, 0, 0, 0)
        pid = calls.syscall("clone3", arguments, len(arguments))
        if pid == 0:
            os._exit(7)
        ended_with = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return ended_with == 7, "made a process" if ended_with == 7 else f"the process ended with {ended_with}"

    return _in_child(try_it)


def session_keyring() -> Outcome:
    def join() -> Outcome:
        calls.syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)
        return True, "joined a new one"

    return _in_child(join)


def cgroup_delegation() -> Outcome:
    """Make a cgroup below our own and move a process there: what a container's limits need."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = next((line.rstrip("\n")[3:] for line in file if line.startswith("0::")), None)
    if own is None:
        return False, "no cgroup v2 hierarchy"
    directory = "/sys/fs/cgroup" + own.rstrip("/")
    if not os.path.exists(f"{directory}/cgroup.controllers"):
        return False, "/sys/fs/cgroup is not a cgroup v2 mount that shows our cgroup"
    child = f"{directory}/pyrun-probe-{os.getpid()}"
    try:
        os.mkdir(child)
    except OSError as error:
        return False, f"mkdir {child}: {os.strerror(error.errno or 0)}"

    def move() -> Outcome:
        with open(f"{child}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        return True, ""

    try:
        moved, why = _in_child(move)
        with open(f"{directory}/cgroup.controllers", encoding="ascii") as file:
            controllers = file.read().strip()
    finally:
        os.rmdir(child)
    if not moved:
        return False, f"a process cannot be moved into {child}: {why}"
    return bool(controllers), f"{own}: {controllers or 'no controllers are delegated'}"


def freezer() -> Outcome:
    """Move a process to a cgroup below its own and freeze it: what `pause` does."""
    own = cgroup2.group_of(os.getpid())
    if not own:
        return False, "no cgroup v2 hierarchy shows our cgroup"
    if not cgroup2.may_divide(own):
        return False, f"{own} is not delegated to us"
    directory = f"{own}/pyrun-probe-{os.getpid()}.freezer"
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(1)
    try:
        cgroup2.make(directory)
        cgroup2.move([pid], directory)
        frozen = cgroup2.freeze(directory, _FREEZE_SECONDS)
        return frozen, f"froze a process in {own}" if frozen else "a process that was to be frozen ran on"
    except OSError as error:
        return False, calls.message(error)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        cgroup2.remove(directory)


def _in_child(function: object) -> Outcome:
    assert callable(function)

    def guarded() -> Outcome:
        try:
            ok, detail = function()
            return bool(ok), str(detail)
        except OSError as error:
            return False, calls.message(error)

    try:
        ok, detail = calls.in_child(guarded)
    except OSError as error:
        return False, calls.message(error)
    return bool(ok), str(detail)
