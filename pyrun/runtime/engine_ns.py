"""The engine user namespace: one per user and boot, in which every monitor and storage process lives.

0 is the user, 1, 2, … his subordinate ids; with none of those, the single-id map. Run by root there is no such
namespace. It lives as long as a process in it; it is joined through any live one, else made anew.
It must not know what runs in it. Hot.
"""

from __future__ import annotations

import fcntl
import os

from pyrun._native import ffi, lib
from pyrun.errors import FeatureMissingError, KernelError
from pyrun.runtime import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.failure import Failure

CLONE_NEWPID = 0x20000000
FORM_FULL = "full"
FORM_FLAT = "flat"
_EPERM, _EAGAIN, _ENFILE, _EMFILE, _ENOSPC = 1, 11, 23, 24, 28
# linux/memfd.h, linux/fcntl.h; Python names them only since 3.8/3.11 and only where glibc does.
_F_ADD_SEALS = 1033
_ALL_SEALS = 1 | 2 | 4 | 8
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class EngineMap:
    """How the engine namespace maps ids. ``size``: how many ids it holds (1 = single-id); 0 = no namespace (root)."""

    __slots__ = ("form", "gid_map", "newgidmap", "newuidmap", "size", "uid_map")

    def __init__(self, size: int, uid_map: str, gid_map: str, newuidmap: str | None, newgidmap: str | None) -> None:
        self.size = size
        self.uid_map = uid_map
        self.gid_map = gid_map
        self.newuidmap = newuidmap
        self.newgidmap = newgidmap
        self.form = FORM_FLAT if size == 1 else FORM_FULL


def engine_map() -> EngineMap:
    """Return the map that this user can have. ``PYRUN_SINGLE_ID=1`` asks for the single-id map.

    Looked up once a process: making and starting a container both ask.
    """
    key = (os.geteuid(), os.environ.get("PYRUN_SINGLE_ID"))
    if key not in _maps:
        _maps[key] = _look_up_map()
    return _maps[key]


_maps: dict[tuple[int, str | None], EngineMap] = {}


def _look_up_map() -> EngineMap:
    from pyrun.linux import subids

    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return EngineMap(0, "", "", None, None)
    single = EngineMap(1, f"0 {uid} 1", f"0 {gid} 1", None, None)
    if os.environ.get("PYRUN_SINGLE_ID") == "1":
        return single
    newuidmap, newgidmap = subids.mapper("newuidmap"), subids.mapper("newgidmap")
    if newuidmap is None or newgidmap is None:
        return single
    name = subids.user_name(uid)
    uids = subids.ranges("/etc/subuid", uid, name)
    gids = subids.ranges("/etc/subgid", uid, name)
    size = 1 + min(sum(item.count for item in uids), sum(item.count for item in gids))
    if size == 1 or _no_new_privs():
        # no_new_privs stops newuidmap, a setuid program: prctl(2).
        return single
    return EngineMap(size, subids.map_text(uid, uids), subids.map_text(gid, gids), newuidmap, newgidmap)


def _no_new_privs() -> bool:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return "\nNoNewPrivs:\t1" in file.read()


# Children that nobody waits for any more; a program that uses us as a library must not collect zombies.
_left: list[int] = []


def _reap_left() -> None:
    for pid in _left[:]:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        except ChildProcessError:
            pass  # the program that uses us has waited for all its children
        _left.remove(pid)


class Process:
    """A child of ours in the engine namespace."""

    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        """Wait for its end; return the exit status as a shell does (128 + signal)."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else 128 + os.WTERMSIG(status)

    def leave(self) -> None:
        """Do not wait: it is reaped when the next one is started, or by init when we have ended."""
        _left.append(self.pid)

    def kill(self) -> None:
        """End it. It is not reaped yet, so the pid is still its own."""
        os.kill(self.pid, 9)


def _live_namespace(engine_file: str, wanted: EngineMap) -> int:
    """Return a descriptor of the engine namespace that ``engine_file`` names, or -1."""
    try:
        with open(engine_file, "rb") as file:
            pid, starttime, size = (int(word) for word in file.read().split())
    except (OSError, ValueError):
        return -1
    return _namespace_of(pid, starttime) if size == wanted.size else -1


def _namespace_of(pid: int, starttime: int) -> int:
    """Return a descriptor of the engine namespace in which that process lives, or -1."""
    try:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    # The pid may have been given to another process; then its namespace may be anybody's.
    if state.start_time(pid) == starttime and lib.pyrun_userns_owned(fd) == 1:
        return fd
    os.close(fd)
    return -1


def spawn_in(
    engine_file: str,
    engine: EngineMap,
    argv: list[str],
    *,
    fds: tuple[int, ...] = (-1, 1, 2),
    keep: tuple[int, ...] = (),
    clone_flags: int = 0,
    remember: bool = False,
    beside: tuple[int, int] | None = None,
) -> Process:
    """Start a program of ours in the engine namespace.

    ``fds[i]`` becomes its descriptor i (-1: /dev/null), ``keep`` stay open under their numbers, nothing else does.
    ``remember``: it will live long, so later calls may join its namespace. ``beside``: pid and start time of a process
    in whose engine namespace it must be: while one that is remembered dies, others may go on in an older one.
    """
    _reap_left()
    userns_fd = -1
    if engine.size and beside is not None:
        userns_fd = _namespace_of(*beside)
    elif engine.size:
        userns_fd = _live_namespace(engine_file, engine)
    new = engine.size != 0 and userns_fd < 0
    try:
        pid = _spawn(argv, engine, userns_fd, new, fds, keep, clone_flags)
    finally:
        if userns_fd >= 0:
            os.close(userns_fd)
    if remember and new:
        _remember(engine_file, pid, engine.size)
    return Process(pid)


def sealed(content: bytes) -> int:
    """Return a memfd that holds ``content``, orders for a program of ours, and can never change."""
    fd = os.memfd_create("pyrun-job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    done = 0
    while done < len(content):
        done += os.write(fd, content[done:])
    fcntl.fcntl(fd, _F_ADD_SEALS, _ALL_SEALS)
    return fd


def _spawn(
    argv: list[str],
    engine: EngineMap,
    userns_fd: int,
    new: bool,
    fds: tuple[int, ...],
    keep: tuple[int, ...],
    clone_flags: int,
) -> int:
    alive = [ffi.new("char[]", os.fsencode(text)) for text in argv]
    environment = [ffi.new("char[]", f"PATH={_PATH}".encode())]
    arguments = ffi.new("char *[]", [*alive, ffi.NULL])
    variables = ffi.new("char *[]", [*environment, ffi.NULL])
    texts = {
        name: ffi.new("char[]", os.fsencode(value)) if value else ffi.NULL
        for name, value in (
            ("newuidmap", engine.newuidmap),
            ("newgidmap", engine.newgidmap),
            ("uid_map", engine.uid_map),
            ("gid_map", engine.gid_map),
        )
    }
    fd_array, keep_array = ffi.new("int[]", list(fds)), ffi.new("int[]", list(keep) or [0])
    spawn = ffi.new(
        "struct pyrun_spawn *",
        {
            "userns_fd": userns_fd, "new_userns": new, "clone_flags": clone_flags, "path": alive[0], "argv": arguments,
            "environment": variables, "fds": fd_array, "fd_count": len(fds), "keep": keep_array,
            "keep_count": len(keep),
            **texts,
        },
    )  # fmt: skip
    failure = ffi.new("struct plan_failure *")
    pid = int(lib.pyrun_spawn(spawn, failure))
    if pid < 0:
        from pyrun.runtime.failure import Failure

        raise _error(Failure.decode(bytes(ffi.buffer(failure))), argv[0])
    return pid


def _error(failure: Failure, program: str) -> KernelError:
    if failure.syscall == "clone3" and failure.errno in (_EPERM, _ENOSPC):
        return FeatureMissingError(
            "user namespaces",
            "the kernel refuses to make one" if failure.errno == _EPERM else "their number is limited to what exists",
            hint="`pyrun info` names the setting that forbids them and the command that allows them",
        )
    if failure.syscall in ("newuidmap", "newgidmap"):
        return KernelError(
            f"cannot map subordinate ids: {failure.syscall}: it refused",
            hint="check /etc/subuid and /etc/subgid, and that it is setuid root (package uidmap); "
            "PYRUN_SINGLE_ID=1 goes without them",
        )
    hint = ""
    # dup2(2) to a number beyond the limit: EINVAL, EBADF.
    if failure.errno in (_EMFILE, _ENFILE) or failure.syscall == "dup2":
        hint = "raise the limit of open files: `ulimit -n`"
    elif failure.errno == _EAGAIN:
        hint = "the limit of processes is reached: `ulimit -u`"
    reason = os.strerror(failure.errno).lower()
    return KernelError(f"cannot start {program}: {failure.syscall}: {reason}", hint=hint)


def _remember(engine_file: str, pid: int, size: int) -> None:
    temporary = f"{engine_file}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{pid} {state.start_time(pid)} {size}\n".encode())
    finally:
        os.close(fd)
    os.rename(temporary, engine_file)
