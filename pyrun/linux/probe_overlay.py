"""Probes of overlay as an unprivileged user: mount it, write through it, look at what it left.

It must not know namespaces: the caller is root of one, and has its own mounts. `scratch` holds the directories
lower, upper, work, merged, meta and data on the store's file system.
"""

from __future__ import annotations

import contextlib
import os
import stat

from pyrun.linux import probe_calls as calls


def fsconfig(scratch: str) -> str:
    """Mount with the new API, one layer a call (lowerdir+, since 6.5), and use it."""
    context = calls.syscall("fsopen", b"overlay", 0)
    try:
        calls.syscall("fsconfig", context, calls.FSCONFIG_SET_FLAG, b"userxattr", None, 0)
        for key, name in (("lowerdir+", "lower"), ("upperdir", "upper"), ("workdir", "work")):
            value = os.fsencode(f"{scratch}/{name}")
            calls.syscall("fsconfig", context, calls.FSCONFIG_SET_STRING, key.encode(), value, 0)
        calls.syscall("fsconfig", context, calls.FSCONFIG_CMD_CREATE, None, None, 0)
        tree = calls.syscall("fsmount", context, 0, 0)
    finally:
        os.close(context)
    target = f"{scratch}/merged"
    calls.syscall("move_mount", tree, b"", calls.AT_FDCWD, os.fsencode(target), calls.MOVE_MOUNT_F_EMPTY_PATH)
    os.close(tree)
    return _use(scratch, "mounted with fsconfig, wrote, copied up, removed")


def mount(scratch: str) -> str:
    """Mount with mount(2) and use it."""
    layers = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work,userxattr"
    calls.mount("overlay", f"{scratch}/merged", "overlay", 0, layers)
    return _use(scratch, "mounted with mount(2), wrote, copied up, removed")


def _use(scratch: str, said: str) -> str:
    """Copy a file up, make and remove one over the mount: a mount alone proves little."""
    target = f"{scratch}/merged"
    try:
        with open(f"{scratch}/lower/below", "w", encoding="ascii") as file:
            file.write("below")
        with open(f"{target}/below", "a", encoding="ascii") as file:
            file.write(" and above")
        with open(f"{scratch}/upper/below", encoding="ascii") as file:
            if file.read() != "below and above":
                raise OSError(5, "overlay: a file was not copied up")
        os.unlink(f"{target}/below")
        whiteout = os.lstat(f"{scratch}/upper/below")
        if not stat.S_ISCHR(whiteout.st_mode):
            raise OSError(5, "overlay: removing a file left no whiteout")
    finally:
        calls.unmount(target)
        for path in (f"{scratch}/upper/below", f"{scratch}/lower/below"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return said


def data_only(scratch: str) -> str:
    """Read a file whose metadata is in one layer and whose content is in a data-only one."""
    with open(f"{scratch}/data/object", "w", encoding="ascii") as file:
        file.write("content")
    with open(f"{scratch}/meta/name", "w", encoding="ascii") as file:
        file.truncate(len("content"))
    os.setxattr(f"{scratch}/meta/name", "user.overlay.metacopy", b"")
    os.setxattr(f"{scratch}/meta/name", "user.overlay.redirect", b"/object")
    target = f"{scratch}/merged"
    calls.mount("overlay", target, "overlay", 0, f"lowerdir={scratch}/meta::{scratch}/data,userxattr")
    try:
        with open(f"{target}/name", encoding="ascii") as file:
            if file.read() != "content":
                raise OSError(5, "overlay: the content was not found in the data-only layer")
    finally:
        calls.unmount(target)
    return "read a file through one"
