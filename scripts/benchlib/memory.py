"""What an engine keeps in memory for its detached containers: PSS, shared pages counted once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from benchlib.timing import run
from benchlib.tools import SLEEP


class Unreadable(Exception):
    """A process whose memory this user may not read; the text names it."""


def processes() -> dict[int, str]:
    """Return pid and command line of this user's processes, those in its user namespaces included."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            # /proc/PID belongs to root where a process is not dumpable, as pyrun's monitors are: ask status.
            owner = Path(f"/proc/{name}/status").read_text().partition("\nUid:\t")[2].partition("\t")[0]
            command = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if owner != str(os.getuid()):
            continue
        found[int(name)] = command
    return found


def peak(argv: list[str], environment: dict[str, str], log: Path) -> int:
    """Run a command; return the most bytes of memory that it and all that it has started have had at once.

    RSS, but for pages that are shared: a child that is about to execute a program has all of its parent's.
    Looked at again and again: a peak of less than a few milliseconds is missed. Raises: CommandFailedError.
    """
    before, most, ended = set(processes()), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.005):
            found = {pid: command for pid, command in processes().items() if pid not in before}
            most = max(most, sum(_resident(pid, command, found) for pid, command in found.items()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(argv, environment, log)
    finally:
        ended.set()
        watcher.join()
    return most


def _resident(pid: int, command: str, others: dict[int, str]) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    except OSError:
        pass  # of another user namespace, or gone
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if others.get(parent) == command:
            return 0
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def overhead(before: dict[int, str]) -> tuple[int, dict[str, int]]:
    """Return the PSS in bytes of every process since ``before``, containers' own ones apart, and their number by name.

    Raises: Unreadable.
    """
    total, counts = 0, dict[str, int]()
    for pid, command in processes().items():
        if pid in before or command.endswith(SLEEP) or not command:
            continue
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unreadable(f"{command.split(' ')[0]} (pid {pid}): {error.strerror}") from error
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        name = command.split(" ")[0].rpartition("/")[2]
        counts[name] = counts.get(name, 0) + 1
    return total, counts
