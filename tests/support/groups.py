"""A group of cgroup2 for a test, below its own: what a container is in when it is started from there."""

from __future__ import annotations

import os
import select
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.features import own_group

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def new_group(name: str = "test") -> Iterator[Path]:
    """Make a group and be in it; at the end, or by `leave` before, this process goes back."""
    # A name of its own: what one test leaves in use must not stop the next.
    group = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=own_group()))
    group.chmod(0o755)
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield group
    finally:
        leave(group)
        _wait_until_empty(group)
        group.rmdir()


def leave(group: Path) -> None:
    """Go back to the group above; containers stay."""
    (group.parent / "cgroup.procs").write_text(str(os.getpid()))


def _wait_until_empty(group: Path) -> None:
    """A monitor outlives its container's `rm` by a moment. POLLPRI: cgroup-v2.rst, cgroup.events."""
    events = os.open(group / "cgroup.events", os.O_RDONLY)
    poll = select.poll()
    poll.register(events, select.POLLPRI)
    try:
        while b"populated 0" not in os.pread(events, 4096, 0):
            assert poll.poll(30_000), f"still in {group}: {(group / 'cgroup.procs').read_text().split()}"
    finally:
        os.close(events)
