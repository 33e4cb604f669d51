"""What a container is doing: asked of the kernel (its lock), not of a file.

It must not change anything. Hot: `ps` calls it once a container. Files: store/layout.py; writer:
native/monitor/state.c.
"""

from __future__ import annotations

import os

from pyrun.errors import is_no_answer
from pyrun.oci.json import loads
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class State:
    """``status``: created, running, restarting (it waits to be started again) or exited.

    A paused container is a running one whose processes the kernel does not run.
    ``is_recorded``: false where its monitor was killed and nobody has written down its end yet.
    ``restarts``: how often its policy has started it again; -1 where its monitor knows no policies.
    """

    __slots__ = (
        "exit_code",
        "finished",
        "is_recorded",
        "monitor",
        "monitor_starttime",
        "oom",
        "paused",
        "pid",
        "restarts",
        "started",
        "starttime",
        "status",
    )

    def __init__(self, status: str) -> None:
        self.status = status
        self.pid = 0
        self.starttime = 0
        self.monitor = 0
        self.monitor_starttime = 0
        self.started = ""
        self.finished = ""
        self.exit_code = 0
        self.oom = False
        self.paused = False
        self.is_recorded = True
        self.restarts = -1

    @property
    def word(self) -> str:
        """The status as lists say it: docker has one word for each."""
        return "paused" if self.paused else self.status

    @property
    def is_up(self) -> bool:
        """Whether a monitor leads it: it runs, or will again without anybody's doing."""
        return self.status in ("running", "restarting")


def status(directory: str) -> State:
    """Return the state of the container in ``directory``.

    Lock held: running or restarting. Free with an exit record: exited. Free without one: its monitor was killed, or
    the machine went down: exited with 137 if it ever ran, else created.
    Where it is free it is asked again after the records were read: one that was started in between was clearing them.
    """
    for _ in range(8):
        held = is_locked(directory)
        state = _read(directory, held)
        if held or not is_locked(directory):
            return state
    return state


def is_locked(directory: str) -> bool:
    """Whether a monitor lives for the container: it holds the lock from before the start until all is recorded."""
    try:
        return fsio.is_locked(directory + "/lock")
    except OSError as error:
        if is_no_answer(error):
            raise
        return False


def _read(directory: str, held: bool) -> State:
    record = _state_file(directory)
    if held:
        # Locked, but nothing executed yet: the container is still being started.
        state = State("created" if record is None else record.get("status", "running"))
        _fill(state, record)
        state.paused = record is not None and _is_paused(directory, record)
        return state
    exit_record = _exit_record(directory)
    if exit_record is not None:
        state = State("exited")
        _fill(state, record)
        state.exit_code = int(exit_record[1])
        state.oom = exit_record[2] == "1"
        state.finished = exit_record[3]
    elif record is not None:
        # A killed monitor lets go of its lock a moment before the kernel has ended what it leads: exit_files() comes
        # before zap_pid_ns_processes(). Until its init is gone the container runs, and its upper directory is in use.
        state = State("running" if _is_alive(record) else "exited")
        _fill(state, record)
        if state.status == "running":
            return state
        state.exit_code = 137
        state.is_recorded = record.get("status") == "restarting"  # its last run has ended before
        state.finished = _last_sign(directory)
    else:
        state = State("created")
    state.pid = 0
    return state


def _fill(state: State, record: dict[str, Any] | None) -> None:
    if record is None:
        return
    state.pid = record["pid"]
    state.starttime = record["starttime"]
    state.monitor = record["monitor"]
    state.monitor_starttime = record["monitor_starttime"]
    state.started = record["started"]
    state.restarts = record.get("restarts", -1)
    state.exit_code = record.get("exit_code", 0)
    state.finished = record.get("finished", "")


def pause_begun(directory: str) -> tuple[int, int, str] | None:
    """Return what a pause of the container has left: init's pid and start time, and the group that it made, or ""."""
    # Asked without an exception first: `ps` asks it of each running container, and hardly any was ever paused.
    if not os.access(directory + "/freezer", os.F_OK):
        return None
    try:
        words = fsio.read_head(directory + "/freezer").split(b"\n", 1)[0].split(b" ", 2)
    except OSError as error:
        if is_no_answer(error):
            raise
        return None
    return (int(words[0]), int(words[1]), os.fsdecode(words[2])) if len(words) == 3 else None


def _is_paused(directory: str, record: dict[str, Any]) -> bool:
    begun = pause_begun(directory)
    if begun is None or begun[:2] != (record["pid"], record["starttime"]):
        return False
    try:
        if begun[2]:
            return b"frozen 1" in fsio.read_head(begun[2] + "/cgroup.events")
        return fsio.read_head(f"/proc/{begun[0]}/stat").rsplit(b") ", 1)[1][:1] in b"Tt"
    except OSError as error:
        if is_no_answer(error):
            raise
        return False


def _is_alive(record: dict[str, Any]) -> bool:
    """Whether the init that the record names still runs: same boot, same pid, same start, and by its pidfd not over."""
    if not record["starttime"] or boot_id() != record["boot_id"]:
        return False
    try:
        fd = os.pidfd_open(record["pid"])
    except OSError as error:
        if is_no_answer(error):
            raise
        return False
    try:
        # The descriptor first: then it is of the process whose start time is asked.
        return start_time(record["pid"]) == record["starttime"] and not has_ended(fd)
    finally:
        os.close(fd)


def _last_sign(directory: str) -> str:
    """When a container whose end nobody saw has certainly still run: it was started then, or has said something."""
    newest = 0
    for name in ("state", "health", "logs/json.log"):
        try:
            newest = max(newest, os.stat(f"{directory}/{name}").st_mtime_ns)
        except OSError:
            continue
    return rfc3339(newest)


def rfc3339(nanoseconds: int) -> str:
    """Return a time (since 1970) as docker and the monitor write it: RFC 3339, nanoseconds, UTC."""
    from time import gmtime, strftime

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest:09}Z"


def _state_file(directory: str) -> dict[str, Any] | None:
    try:
        record = loads(fsio.read_head(directory + "/state"))
    except ValueError:
        return None
    except OSError as error:
        if is_no_answer(error):
            raise
        return None
    return record if isinstance(record, dict) else None


def _exit_record(directory: str) -> list[str] | None:
    """Fields of the exit slot: version, code, oom, finished; None while it holds only NULs."""
    try:
        fields = fsio.read_head(directory + "/exit")[:64].split(b"\n", 1)[0].decode("utf-8", "replace").split(" ")
    except OSError as error:
        if is_no_answer(error):
            raise
        return None
    return fields if len(fields) == 4 and fields[1].lstrip("-").isdigit() else None


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat (clock ticks since boot), 0 if there is no such process: proc(5)."""
    try:
        return int(fsio.read_head(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[19])
    except (IndexError, ValueError):
        return 0
    except OSError as error:
        if is_no_answer(error):
            raise
        return 0


def has_ended(pidfd: int) -> bool:
    """Whether all threads of a process have ended; it may not have been reaped yet (pidfd_open(2))."""
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def boot_id() -> str:
    """Return what tells this boot from every other."""
    return fsio.read_head("/proc/sys/kernel/random/boot_id").decode().strip()
