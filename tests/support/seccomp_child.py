"""Run system calls under a filter, for the tests: ``seccomp_child.py FILTER [--single-id UID GID]`` < JSON > JSON.

Input: [[number, argument, …], …], an argument being a number or a string (a path, passed by address).
Output: [[result, errno], …]. Text after a call's name in the input is not interpreted.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 0x10000000, 0x20000, 38, 22


def enter_single_id(uid: str, gid: str) -> None:
    own = (os.getuid(), os.getgid())
    if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {own[0]} 1"), ("gid_map", f"{gid} {own[1]} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def overlay(directory: str) -> None:
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{directory}/{name}")
    layers = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work,userxattr"
    if LIBC.mount(b"overlay", f"{directory}/merged".encode(), b"overlay", 0, layers.encode()):
        sys.exit(f"mount overlay: {os.strerror(ctypes.get_errno())}")


def install(path: str) -> None:
    with open(path, "rb") as file:
        text = file.read()
    program = ctypes.create_string_buffer(text, len(text))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(text) // 8, ctypes.addressof(program)))
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or LIBC.prctl(PR_SET_SECCOMP, 2, header, 0, 0):
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")


def convert(argument: object) -> object:
    if isinstance(argument, str):
        return ctypes.c_char_p(argument.encode())
    if isinstance(argument, list):  # bytes
        return ctypes.create_string_buffer(bytes(argument), len(argument))
    return ctypes.c_long(argument)  # type: ignore[arg-type]


def main(arguments: list[str]) -> None:
    path = arguments.pop(0)
    request = json.load(sys.stdin)
    if "--single-id" in arguments:
        at = arguments.index("--single-id")
        enter_single_id(arguments[at + 1], arguments[at + 2])
    if "--overlay" in arguments:
        overlay(arguments[arguments.index("--overlay") + 1])
    install(path)
    answers = []
    for call in request:
        ctypes.set_errno(0)
        result = LIBC.syscall(*(convert(argument) for argument in call))
        answers.append([result, ctypes.get_errno() if result < 0 else 0])
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1:])
