"""What is recorded of a container whose monitor was killed, and could not do it: the exit slot, and the event `die`.

Whoever looks is told *exited (137)* without that (runtime/state.py). Who waits for its end, starts or removes it, or
sweeps, writes it down, once; lists do not write. It must not disturb who asks, nor fail a verb.
"""

from __future__ import annotations

import fcntl
import os
import sys

from pyrun.engine import events
from pyrun.errors import NotFoundError, StoreError
from pyrun.runtime import state
from pyrun.store import containers, fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout

_SHARED = fcntl.F_RDLCK.to_bytes(2, sys.byteorder) + bytes(62)
_SLOT = 64


def write(layout: Layout, directory: str) -> None:
    """Record the end of a container whose monitor was killed; nothing where it runs, was recorded, or is gone."""
    now = state.status(directory)
    if now.is_recorded:
        return
    try:
        _write_once(layout, directory)
    except (OSError, NotFoundError, StoreError):
        return  # just started, being recorded, removed or damaged


def write_all(layout: Layout) -> None:
    """Record the end of every container that is still said to run by `live/`, which only its monitor would remove."""
    for _, directory in containers.list(layout, all=False):
        if not state.is_locked(directory):
            write(layout, directory)


def _write_once(layout: Layout, directory: str) -> None:
    from pyrun.store import sealed_lines

    # Shared: who asks whether the container runs is not told so for that, and nobody can start it meanwhile.
    lock = os.open(f"{directory}/lock", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _SHARED)
        slot = fsio.try_lock(f"{directory}/exit")  # one of those who record it
        if slot < 0:
            return
        try:
            now = state.status(directory)
            if not now.is_recorded:
                record = containers.load(directory)
                # The slot first: killed in between, it is told once or not at all.
                line = f"1 {now.exit_code} 0 {now.finished}\n"
                os.pwrite(slot, sealed_lines.close_slot(line).ljust(_SLOT, b"\0"), 0)
                os.fdatasync(slot)
                events.died(layout, record, now.exit_code, _seconds(now))
        finally:
            os.close(slot)
    finally:
        os.close(lock)


def _seconds(now: State) -> int:
    from pyrun.engine.instant import parse_rfc3339

    return max(parse_rfc3339(now.finished) - parse_rfc3339(now.started), 0) // 1_000_000_000
