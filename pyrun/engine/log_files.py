"""A container's log on disk: where it is, its files from the oldest on, and what could not be written to it. HOT.

It must not know what records look like. Writer: native/monitor/log_file.c; a rotation renames NAME to NAME.1 and so on.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Drivers whose log can be read: the number is that of native/monitor/job.h, the name that of the newest file.
DRIVERS = {"json-file": (0, "json.log"), "k8s-file": (1, "ctr.log"), "local": (2, "local.log")}
# What a container without --log-driver and --log-opt has: its record holds None.
DEFAULT: dict[str, Any] = {
    "driver": "json-file", "options": {}, "max_bytes": 10_000_000, "max_files": 3, "path": None, "ring_bytes": 0,
}  # fmt: skip


def settings(record: dict[str, Any]) -> dict[str, Any]:
    """Return what `engine/log_options.py` has decided for a container, from its record."""
    decided: dict[str, Any] = record.get("log") or DEFAULT
    return decided


def path(record: dict[str, Any], directory: str) -> str:
    """Return the newest file's path; "" where there is no log."""
    decided = settings(record)
    if decided["driver"] not in DRIVERS:
        return ""
    return decided["path"] or f"{directory}/logs/{DRIVERS[decided['driver']][1]}"


def shown_path(record: dict[str, Any], directory: str) -> str:
    """Return docker's LogPath: not of `local`, whose form is ours alone."""
    return "" if settings(record)["driver"] == "local" else path(record, directory)


def shown_config(record: dict[str, Any]) -> dict[str, Any]:
    """Return docker's LogConfig, with the limits that hold where nobody has asked for any."""
    decided = settings(record)
    if decided["driver"] not in DRIVERS:
        return {"Type": decided["driver"], "Config": {}}
    limits = {"max-file": str(decided["max_files"]), "max-size": f"{decided['max_bytes'] // 1_000_000}m"}
    return {"Type": decided["driver"], "Config": {**limits, **decided["options"]}}


class LogFiles:
    """The files of one log, opened oldest first.

    An open file stays readable when a rotation removes it, so following opens each newer one as soon as it is seen; but
    no more than there may be on disk, or who reads slowly would keep the disk full.
    `gap_before`: the file before which some were missed, or -1.
    """

    __slots__ = ("_count", "_directory_fd", "_name", "fds", "gap_before")

    def __init__(self, record: dict[str, Any], directory: str) -> None:
        newest = path(record, directory)
        if not newest:
            raise InvalidInputError("configured logging driver does not support reading")
        log_directory, _, self._name = newest.rpartition("/")
        self._count: int = settings(record)["max_files"]
        self.fds: list[int] = []
        self.gap_before = -1
        try:
            # By descriptor: the directory of a --rm container is renamed before it is removed.
            self._directory_fd = os.open(log_directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # never started
            self._directory_fd = -1

    def extend(self) -> None:
        """Open what has come since the last call; the first one opens all."""
        if self._directory_fd < 0 or len(self.fds) > self._count:
            return
        known = os.fstat(self.fds[-1]).st_ino if self.fds else 0
        if known and known == self._inode(0):
            return
        while True:
            inodes = [self._inode(number) for number in range(self._count)]
            index = inodes.index(known) if known in inodes else self._count
            opened = [self._open(number) for number in range(index - 1, -1, -1) if inodes[number]]
            if inodes == [self._inode(number) for number in range(self._count)] and -1 not in opened:
                break
            for fd in opened:  # rotated in between
                if fd >= 0:
                    os.close(fd)
        if known and known not in inodes and opened:
            self.gap_before = opened[0]
        self.fds += opened

    def drop_oldest(self) -> None:
        """Close the oldest."""
        os.close(self.fds.pop(0))

    def close(self) -> None:
        """Close all."""
        while self.fds:
            self.drop_oldest()
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1

    def _file_name(self, number: int) -> str:
        return f"{self._name}.{number}" if number else self._name

    def _inode(self, number: int) -> int:
        try:
            return os.stat(self._file_name(number), dir_fd=self._directory_fd).st_ino
        except FileNotFoundError:
            return 0

    def _open(self, number: int) -> int:
        try:
            return os.open(self._file_name(number), os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory_fd)
        except FileNotFoundError:
            return -1


_SLOT = 128


def _sentence(fields: list[str]) -> str:
    _, count, number, first, last = fields
    reason = os.strerror(int(number)).lower()
    return f"{count} lines of output were not logged from {first} to {last}: {reason}"


class Lost:
    """`logs/lost`: how many records could not be written, and why.

    In two slots: of the buffer of mode=non-blocking, and of the file. While it is open for following, the monitor of a
    --rm container waits a moment before it removes the log.
    """

    __slots__ = ("_fd", "_told")

    def __init__(self, directory: str, *, follow: bool) -> None:
        self._told: set[bytes] = set()
        try:
            self._fd = os.open(f"{directory}/logs/lost", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1
            return
        if follow:
            import fcntl

            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, fcntl.F_RDLCK.to_bytes(2, "little") + bytes(62))

    def notices(self) -> list[str]:
        """Return sentences about what has been lost since the last call."""
        slots = os.pread(self._fd, 2 * _SLOT, 0) if self._fd >= 0 else b""
        new = {slots[:_SLOT].rstrip(b"\0\n"), slots[_SLOT:].rstrip(b"\0\n")} - self._told - {b""}
        self._told |= new
        return [_sentence(slot.decode("utf-8", "replace").split(" ")) for slot in sorted(new) if slot.count(b" ") == 4]

    def close(self) -> None:
        """Let go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
