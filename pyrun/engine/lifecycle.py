"""Signals to a container and the wait for its end: what stop, kill, wait and rm share.

It must not know how a container is made. Every process is addressed by a pidfd whose start time was compared after it
was opened: a pid alone may have been given to somebody else (pidfd_open(2)).
"""

from __future__ import annotations

import _signal
import os
import select

from pyrun.errors import InvalidInputError, is_no_answer
from pyrun.runtime import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.launch import Monitor
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout

SIGHUP, SIGKILL, SIGTERM = 1, 9, 15
# For what somebody else makes just now: a socket (inotify(7) tells that it is there, but not that it listens), a start.
_PATIENCE, _PAUSE_MS = 200, 5
_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG "
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()
_ALIASES = {"IOT": 6, "POLL": 29, "CLD": 17}


def signal_number(text: str) -> int:
    """Return the number of ``9``, ``KILL``, ``SIGKILL``, ``RTMIN+3``, … (signal(7)).

    Raises: InvalidInputError with docker's words.
    """
    word = text.strip().upper().removeprefix("SIG")
    if _is_small(word) and 0 < int(word) < 65:
        return int(word)
    if word in _NAMES:
        return _NAMES.index(word) + 1
    if word in _ALIASES:
        return _ALIASES[word]
    base, sign, offset = word[:5], word[5:6], word[6:]
    if base in ("RTMIN", "RTMAX") and (not sign or (sign in "+-" and _is_small(offset))):
        # glibc keeps 32 and 33 for itself.
        number = (34 if base == "RTMIN" else 64) + int((sign + offset) or 0)
        if 34 <= number <= 64:
            return number
    raise InvalidInputError(f"invalid signal: {text}")


def _is_small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4


def open_process(pid: int, starttime: int) -> int:
    """Return a pidfd of the process, or -1 if it has ended."""
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        if is_no_answer(error):
            raise
        return -1
    if state.start_time(pid) == starttime:
        return fd
    os.close(fd)
    return -1


def send_signal(now: State, number: int) -> bool:
    """Signal the container's first process; False if it has ended."""
    return _send(now.pid, now.starttime, number)


def _send(pid: int, starttime: int, number: int) -> bool:
    fd = open_process(pid, starttime)
    if fd < 0:
        return False
    try:
        _signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def connect(layout: Layout, container_id: str, directory: str) -> Monitor:
    """Attach to a container's monitor. Raises: OSError where nobody listens.

    A socket that went with the runtime directory (the last login session's end, a cleaner of /tmp) is made anew by a
    monitor that gets SIGHUP; an older one has that blocked.
    """
    from pyrun.runtime import launch

    path = layout.socket(container_id)
    try:
        return launch.connect(path)
    except OSError:
        now = state.status(directory)
        if not now.is_up or not _send(now.monitor, now.monitor_starttime, SIGHUP):
            raise
    for _ in range(_PATIENCE):
        select.poll().poll(_PAUSE_MS)
        try:
            return launch.connect(path)
        except OSError:
            continue
    return launch.connect(path)


def end_restarts(now: State) -> None:
    """Tell the monitor to start the container no more; one that waits to do so ends at once.

    Before the first process is signalled, so that the monitor sees it first. A monitor that knows no restarts has
    SIGTERM blocked.
    """
    _send(now.monitor, now.monitor_starttime, SIGTERM)


def wait_end(now: State, timeout: float | None = None) -> bool:
    """Wait until the container's monitor has ended, so that its record is written; False on timeout (seconds).

    Then for its first process, in case the monitor was killed and cannot take it along (native/monitor/members.c).
    """
    return _wait(now.monitor, now.monitor_starttime, timeout) and _wait(now.pid, now.starttime, timeout)


def _wait(pid: int, starttime: int, timeout: float | None) -> bool:
    fd = open_process(pid, starttime)
    if fd < 0:
        return True
    try:
        poll = select.poll()
        poll.register(fd, 1)  # POLLIN: it has ended
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    finally:
        os.close(fd)


def wait_start(directory: str) -> None:
    """Wait until what somebody else is starting runs, or could not be started."""
    while state.is_locked(directory) and not state.status(directory).is_up:
        select.poll().poll(_PAUSE_MS)


def resume(directory: str) -> None:
    """Let a paused container run, so that it can obey a signal."""
    if state.pause_begun(directory):
        from pyrun.runtime import pause

        pause.resume(directory)


def pause_group(directory: str) -> str:
    """Return the cgroup that a pause of the container has made, or "": it is to go when the container has ended."""
    begun = state.pause_begun(directory)
    return begun[2] if begun else ""


def remove_group(group: str) -> None:
    """Remove the cgroup of a container that was ended while it was paused; "" is fine."""
    if group:
        from pyrun.linux import freezer

        freezer.remove(group)
