"""Generators that wait for processes: all at once, in order, each with its own time."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from pyrun.engine import together as module
from pyrun.engine.together import End, alone, together
from pyrun.errors import PyrunError
from pyrun.runtime.state import start_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.engine.together import Work


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Three processes that end when they are killed."""
    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        pids.append(pid)
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def end_of(pid: int, seconds: float | None = None) -> End:
    return End(pid, start_time(pid), seconds)


def test_all_have_begun_before_one_is_waited_for(children: list[int]) -> None:
    order = []

    def work(name: str) -> Work:
        order.append(f"{name} begins")
        number = int(name)
        if number == 2:
            for pid in reversed(children):
                os.kill(pid, signal.SIGKILL)
        assert (yield end_of(children[number]))
        order.append(f"{name} ends")
        return number * 10

    outcomes = [*together(["0", "1", "2"], work)]
    assert order[:3] == ["0 begins", "1 begins", "2 begins"]
    assert sorted(order[3:]) == ["0 ends", "1 ends", "2 ends"]
    assert outcomes == [("0", 0, None), ("1", 10, None), ("2", 20, None)]


def test_time_is_over_for_one_only(children: list[int]) -> None:
    def work(name: str) -> Work:
        pid = children[int(name)]
        if not (yield end_of(pid, 0 if name == "0" else None)):
            for other in children:
                os.kill(other, signal.SIGKILL)
            return "late"
        return "ended"

    assert [result for _, result, _ in together("012", work)] == ["late", "ended", "ended"]


def test_what_has_ended_is_not_waited_for(children: list[int]) -> None:
    def work() -> Work:
        assert (yield End(children[0], 1)), "another process had this pid"
        assert (yield End(2**22 + 1, 1))
        return "done"

    assert alone(work()) == "done"


def test_a_failure_is_the_outcome_of_one(children: list[int]) -> None:
    def work(name: str) -> Work:
        if name == "0":
            raise PyrunError("no")
        os.kill(children[1], signal.SIGKILL)
        yield end_of(children[1])

    failed, done = together("01", work)
    assert str(failed[2]) == "no"
    assert done == ("1", None, None)

    with pytest.raises(PyrunError, match="no"):
        alone(work("0"))


def test_no_more_descriptors_than_agreed(children: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    begun = []

    def work(name: str) -> Work:
        begun.append(name)
        if len(begun) == 2:
            os.kill(children[0], signal.SIGKILL)
        if len(begun) == 3:
            assert ended == ["0"]
            os.kill(children[1], signal.SIGKILL)
            os.kill(children[2], signal.SIGKILL)
        yield end_of(children[int(name)])
        ended.append(name)

    ended: list[str] = []
    before = len(os.listdir("/proc/self/fd"))
    assert [name for name, _, _ in together("012", work)] == ["0", "1", "2"]
    assert len(os.listdir("/proc/self/fd")) == before
