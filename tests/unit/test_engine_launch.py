"""A start and a `cp` of the same container: who waits for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pyrun.engine import launch
from pyrun.errors import SyscallError
from pyrun.store import containers, fsio
from pyrun.store.containers import Created
from pyrun.store.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path


def test_a_start_waits_for_a_copy_that_began_after_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor has seen it, also of a container just made: the next try waits, and nobody copies meanwhile."""
    locks: list[int] = []

    def start(*_: object) -> str:
        copying = containers.copying(str(tmp_path))
        if not locks:
            locks.append(0)
            fsio.write_new(copying, b"")
            raise SyscallError("", syscall="copying", errno=11)
        locks.append(fsio.try_lock(copying))
        return "started"

    monkeypatch.setattr(launch, "_run_to_exec", start)
    created = Created("1" * 64, str(tmp_path), {}, ({}, {}))
    layout = Layout(str(tmp_path), str(tmp_path))
    done: object = launch.run_to_exec(layout, created, attached=False, window=(0, 0))
    assert done == "started"
    assert locks == [0, -1]


def test_other_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise SyscallError("", syscall="clone3", errno=11)

    monkeypatch.setattr(launch, "_run_to_exec", start)
    created = Created("1" * 64, str(tmp_path), {}, ({}, {}))
    with pytest.raises(SyscallError):
        launch.run_to_exec(Layout(str(tmp_path), str(tmp_path)), created, attached=False, window=(0, 0))
