"""Lets the n-th call of a command that writes to a store fail, or finds the disk full at it: the rest is stepper.py.

``faults.py OUT WHEN FAULT ROOT -- ARGUMENTS…``: counted are the calls of all processes of the command that may change
what lies below ROOT. At the WHEN-th, before it is executed, FAULT happens: ``full`` fills the file system that ROOT
is on, to the last byte and inode, and lets everything go on; the name of an error (``EIO``) is what that call
returns instead of being executed, and ``EROFS+`` what it and all later ones return. WHEN 0: nothing, they are counted.
OUT gets JSON: {"calls": count, "at": the call, "status": the command's}.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import sys

from tests.support.stepper import Stepper, ptrace, text

_GETREGS, _SETREGS = 12, 13
# Names of the calls by their number, x86-64: how many paths they take, and where; -1: a descriptor.
_PATHS = {
    "open": (2, (0,)), "openat": (257, (1,)), "openat2": (437, (1,)), "mkdir": (83, (0,)), "mkdirat": (258, (1,)),
    "rename": (82, (0, 1)), "renameat": (264, (1, 3)), "renameat2": (316, (1, 3)), "symlink": (88, (1,)),
    "symlinkat": (266, (2,)), "link": (86, (1,)), "linkat": (265, (3,)), "unlink": (87, (0,)), "unlinkat": (263, (1,)),
    "rmdir": (84, (0,)), "mknodat": (259, (1,)), "chmod": (90, (0,)), "bind": (49, ()),
}  # fmt: skip
_FDS = {
    "write": 1, "pwrite64": 18, "writev": 20, "ftruncate": 77, "fallocate": 285, "fsync": 74, "fdatasync": 75,
    "syncfs": 306, "sendfile": 40, "copy_file_range": 326, "fchmod": 91, "fsetxattr": 190,
}  # fmt: skip
_BY_NUMBER = {number: name for name, (number, _) in _PATHS.items()} | {number: name for name, number in _FDS.items()}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Faults(Stepper):
    """`at`: what the call was at which it happened."""

    def __init__(self, when: int, fault: str, root: str) -> None:
        super().__init__("client", 0, frozenset())
        self._when = when
        self._fault = fault
        self._root = root
        self._refused: set[int] = set()
        self.count = 0
        self.at = ""

    def _called(self, pid: int) -> None:
        number = int.from_bytes(self._info.raw[24:32], "little")
        arguments = [int.from_bytes(self._info.raw[32 + 8 * i : 40 + 8 * i], "little") for i in range(4)]
        call = _BY_NUMBER.get(number)
        what = self._what(pid, call, arguments) if call else ""
        if not what:
            return
        self.count += 1
        persistent = self._fault.endswith("+")
        if self.count == self._when:
            self.at = f"{call} {what}"
            if self._fault == "full":
                fill(self._root)
        if (
            self._when
            and self._fault != "full"
            and (self.count == self._when or (persistent and self.count > self._when))
        ):
            self._set(pid, 15, -1)  # orig_rax: no call
            self._refused.add(pid)

    def _is_entry(self, pid: int) -> bool:
        if not super()._is_entry(pid):
            if pid in self._refused:
                self._refused.discard(pid)
                self._set(pid, 10, -getattr(errno, self._fault.rstrip("+")))  # rax
            return False
        return True

    def _set(self, pid: int, index: int, value: int) -> None:
        registers = (ctypes.c_longlong * 27)()
        ptrace(_GETREGS, pid, 0, ctypes.addressof(registers))
        registers[index] = value
        ptrace(_SETREGS, pid, 0, ctypes.addressof(registers))

    def _what(self, pid: int, call: str | None, arguments: list[int]) -> str:
        """Return what below the root the call would change, "" if nothing."""
        try:
            if call in _FDS:
                path = os.readlink(f"/proc/{pid}/fd/{arguments[0]}")
                return path if path.startswith(self._root) else ""
            assert call is not None
            if call in ("open", "openat") and not arguments[1 if call == "open" else 2] & _WRITING:
                return ""
            for index in _PATHS[call][1]:
                path = text(pid, arguments[index])
                if not path.startswith("/"):
                    fd = ctypes.c_int(arguments[index - 1]).value if index else -100
                    path = os.readlink(f"/proc/{pid}/cwd" if fd < 0 else f"/proc/{pid}/fd/{fd}") + "/" + path
                if path.startswith(self._root):
                    return path
        except OSError:
            pass
        return ""


def fill(directory: str, *, leave: int = 0) -> None:
    """Fill a small file system, but for ``leave`` bytes, to the last inode; `free` undoes it."""
    place = f"{directory}/filler"
    os.makedirs(place, exist_ok=True)
    fd = os.open(f"{place}/bytes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        found = os.statvfs(directory)
        size = os.fstat(fd).st_size + max(found.f_bavail * found.f_frsize - leave, 0)
        with contextlib.suppress(OSError):
            os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
    if leave:
        return
    with contextlib.suppress(OSError):
        while True:
            os.close(os.open(f"{place}/{os.urandom(8).hex()}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def free(directory: str) -> None:
    """Give back what `fill` took."""
    place = f"{directory}/filler"
    for name in os.listdir(place) if os.path.isdir(place) else ():
        os.unlink(f"{place}/{name}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(place)


def main() -> int:
    out, when, fault, root, _, *argv = sys.argv[1:]
    faults = Faults(int(when), fault, root)
    faults.run(argv)
    with open(out, "w", encoding="ascii") as file:
        json.dump({"calls": faults.count, "at": faults.at, "status": faults.status}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
