"""Run an uplink and a program as the monitor would: engine user namespace, pid namespace, child user namespace.

Run as a script by the kernel tests: arguments are JSON {"argv", "ready_fd", "inside"}. It prints one line of JSON with
"ready" and, on refusal, "error"; then ``inside`` runs in the container's network namespace with its output. The uplink
dies with this process: it lives in its pid namespace.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWPID = 0x10000000, 0x40000000, 0x20000000
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "unshare")


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())
    os.close(fd)


def enter_engine_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"0 {uid} 1")
    write("/proc/self/gid_map", f"0 {gid} 1")


def host_pid() -> int:
    """Return this process's pid as the host's /proc, which is still mounted, names it."""
    return int(os.readlink("/proc/self"))


def start_container(inside: str) -> tuple[int, int, int]:
    """Return (pid here, pid on the host, descriptor to close when the program may start)."""
    report_read, report_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        os.write(report_write, str(host_pid()).encode())
        os.read(go_read, 1)
        os.execv(sys.executable, [sys.executable, "-I", "-c", inside])
    os.close(report_write)
    os.close(go_read)
    there = int(os.read(report_read, 32))
    write(f"/proc/{there}/setgroups", "deny")
    write(f"/proc/{there}/uid_map", "0 0 1")
    write(f"/proc/{there}/gid_map", "0 0 1")
    return pid, there, go_write


def start_uplink(argv: list[str], ready_fd: bool, init: int) -> dict[str, Any]:
    ready_read, ready_write = os.pipe()
    error_read, error_write = os.pipe()
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(error_write, 2)
        if ready_fd and ready_write != 9:
            os.dup2(ready_write, 9)
        os.closerange(3, 9)
        os.closerange(10, 64)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        words = [word.replace("{pid}", str(init)).replace("{ready}", "9") for word in argv]
        os.execv(words[0], words)
    os.close(ready_write)
    os.close(error_write)
    ready = os.read(ready_read, 1) == b"1" if ready_fd else os.waitpid(pid, 0)[1] == 0
    result: dict[str, Any] = {"ready": ready, "milliseconds": round((time.perf_counter() - started) * 1000, 1)}
    if not ready:
        result["error"] = os.read(error_read, 4096).decode()
    return result


def monitor(request: dict[str, Any]) -> int:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    pid, init, go = start_container(request["inside"])
    if request["argv"]:
        print(json.dumps(start_uplink(request["argv"], request["ready_fd"], init)), flush=True)
    os.close(go)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    request = json.loads(sys.argv[1])
    enter_engine_namespace()
    unshare(CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        os._exit(monitor(request))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
