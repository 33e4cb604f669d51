"""Probes of what a user namespace may do here: mounts, devices, nested namespaces.

It must not know what pyrun does without them (probe.py says). Everything happens in forked children.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
from typing import TYPE_CHECKING, Any

from pyrun.linux import probe_calls as calls
from pyrun.linux import probe_overlay
from pyrun.linux.probe_calls import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.linux.probe_calls import Outcome

_NAMESPACES = {
    "mount": calls.CLONE_NEWNS,
    "pid": calls.CLONE_NEWPID,
    "ipc": calls.CLONE_NEWIPC,
    "network": calls.CLONE_NEWNET,
    "uts": calls.CLONE_NEWUTS,
    "cgroup": calls.CLONE_NEWCGROUP,
}
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_OPEN_TREE_CLONE = 1
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_IDMAP = 0x1, 0x100000


def run(scratch: str, map_ids: Callable[[int], str] | None) -> dict[str, Outcome]:
    """Return the outcomes of all probes that need a user namespace, by feature.

    `scratch`: a directory on the store's file system, made here and removed again.
    `map_ids`: gives a process the full id map and returns "", or says why not; None: single-id map.
    """
    os.makedirs(scratch, mode=0o700)
    try:
        for name in ("lower", "upper", "work", "merged", "meta", "data"):
            os.mkdir(f"{scratch}/{name}")
        return _in_namespace(scratch, map_ids)
    finally:
        remove(scratch)


def remove(path: str) -> None:
    """Remove a scratch directory with all that overlay left in it."""
    # overlay leaves work/work with mode 000 and its spare whiteout inside.
    with contextlib.suppress(FileNotFoundError):
        os.chmod(f"{path}/work/work", 0o700)
    shutil.rmtree(path)


def _in_namespace(scratch: str, map_ids: Callable[[int], str] | None) -> dict[str, Outcome]:
    """Fork a child into a new user namespace, map its ids from here, collect what it found."""
    answer_read, answer_write = os.pipe()
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for descriptor in (answer_read, ready_read, go_write):
                os.close(descriptor)
            _child(scratch, answer_write, ready_write, go_read)
            status = 0
        except Exception as error:
            os.write(answer_write, json.dumps({"probe itself": (False, repr(error))}).encode())
        finally:
            os._exit(status)
    for descriptor in (answer_write, ready_write, go_read):
        os.close(descriptor)
    results: dict[str, Outcome] = {}
    try:
        if os.read(ready_read, 1):
            failure = map_ids(pid) if map_ids else "not asked for"
            results["full id map"] = (not failure, failure or "newuidmap and newgidmap wrote the map")
            os.write(go_write, b"s" if failure else b"f")
        answer = calls.receive(answer_read)
    finally:
        for descriptor in (answer_read, ready_read, go_write):
            os.close(descriptor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    found: dict[str, Any] = json.loads(answer or b"{}")
    results.update((name, (bool(ok), str(detail))) for name, (ok, detail) in found.items())
    return results


def _child(scratch: str, answer: int, ready: int, go: int) -> None:
    results: dict[str, Outcome] = {}
    uid, gid = os.getuid(), os.getgid()
    try:
        calls.unshare(calls.CLONE_NEWUSER)
    except OSError as error:
        results["user namespaces"] = (False, calls.message(error))
        os.write(answer, json.dumps(results).encode())
        return
    os.write(ready, b".")
    if os.read(go, 1) == b"s":
        results["user namespaces"] = attempt(_map_self, uid, gid)
    else:
        results["user namespaces"] = (True, "made one")
    results["nested user namespace"] = attempt(_nested)
    # After this the first fork is process 1 of the pid namespace, and no fork works once that one has ended (ENOMEM).
    for name, flag in _NAMESPACES.items():
        results[f"{name} namespace"] = attempt(_unshare, flag)
    results["time namespace"] = attempt(_time_namespace)
    pid = os.fork()  # process 1 of the new pid namespace: procfs can only be mounted in one
    if pid == 0:
        results |= _mounts(scratch)
        os.write(answer, json.dumps(results).encode())
        os._exit(0)
    os.waitpid(pid, 0)


def _map_self(uid: int, gid: int) -> str:
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    return "made one, with the user's id alone"


def _unshare(flag: int) -> str:
    calls.unshare(flag)
    return "made one"


def _time_namespace() -> str:
    calls.unshare(calls.CLONE_NEWTIME)
    with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
        file.write("monotonic 10 0\n")
    return "made one, offset set"


def _nested() -> str:
    ok, detail = calls.in_child(lambda: attempt(_unshare, calls.CLONE_NEWUSER))
    if not ok:
        raise OSError(1, detail)
    return "made one inside one"


def _mounts(scratch: str) -> dict[str, Outcome]:
    results: dict[str, Outcome] = {}
    private = attempt(_make_private)
    results["private mounts"] = private
    target = f"{scratch}/merged"
    plain = calls.MS_NOSUID | calls.MS_NODEV | calls.MS_NOEXEC
    results["new mount API"] = attempt(_new_mount, target)
    results["mount_setattr"] = attempt(_mount_setattr, target)
    results["idmapped mounts"] = attempt(_idmapped, scratch)
    results["overlay lowerdir+"] = attempt(probe_overlay.fsconfig, scratch)
    results["overlay userxattr"] = attempt(probe_overlay.mount, scratch)
    results["overlay data-only layers"] = attempt(probe_overlay.data_only, scratch)
    results["procfs"] = attempt(_mount, "proc", target, plain, None)
    results["sysfs"] = attempt(_mount, "sysfs", target, plain | calls.MS_RDONLY, None)
    results["mqueue"] = attempt(_mount, "mqueue", target, plain, None)
    results["cgroup2 mount"] = attempt(_mount, "cgroup2", target, plain | calls.MS_RDONLY, None)
    results["devpts gid=5"] = attempt(
        _mount, "devpts", target, calls.MS_NOSUID | calls.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"
    )
    results["/dev/net/tun"] = attempt(_tun)
    results["/dev/fuse"] = attempt(_fuse, target)
    return results


def _make_private() -> str:
    calls.mount("none", "/", None, calls.MS_REC | calls.MS_PRIVATE)
    return "done"


def _mount(kind: str, target: str, flags: int, data: str | None) -> str:
    calls.mount(kind, target, kind, flags, data)
    calls.unmount(target)
    return "mounted one"


def _new_mount(target: str) -> str:
    context = calls.syscall("fsopen", b"tmpfs", 0)
    calls.syscall("fsconfig", context, calls.FSCONFIG_CMD_CREATE, None, None, 0)
    tree = calls.syscall("fsmount", context, 0, 0)
    calls.syscall("move_mount", tree, b"", calls.AT_FDCWD, os.fsencode(target), calls.MOVE_MOUNT_F_EMPTY_PATH)
    calls.unmount(target)
    os.close(tree)
    os.close(context)
    return "fsopen, fsconfig, fsmount and move_mount work"


def _mount_setattr(target: str) -> str:
    calls.mount("tmpfs", target, "tmpfs")
    try:
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
        calls.syscall("mount_setattr", calls.AT_FDCWD, os.fsencode(target), 0, attributes, len(attributes))
        if not os.statvfs(target).f_flag & os.ST_RDONLY:
            raise OSError(5, "mount_setattr: said it worked, but the mount is writable")
    finally:
        calls.unmount(target)
    return "made a mount read-only"


def _idmapped(directory: str) -> str:
    namespace = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    tree = calls.syscall("open_tree", calls.AT_FDCWD, os.fsencode(directory), _OPEN_TREE_CLONE)
    try:
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        calls.syscall("mount_setattr", tree, b"", calls.AT_EMPTY_PATH, attributes, len(attributes))
    finally:
        os.close(tree)
        os.close(namespace)
    return "mapped one of the store"


def _tun() -> str:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"probe%d", _IFF_TUN_NO_PI))
    finally:
        os.close(device)
    return "made an interface"


def _fuse(target: str) -> str:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        calls.mount("fuse", target, "fuse", 0, f"fd={device},rootmode=40000,user_id=0,group_id=0")
        calls.unmount(target)
    finally:
        os.close(device)
    return "mounted one"
