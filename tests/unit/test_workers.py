"""engine/workers.py: each item once, the last first; what a failure and Ctrl-C do to the others."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from types import FrameType

import pytest

from pyrun.engine.workers import WORKERS, Workers


def test_each_item_is_done_and_what_must_wait_comes_again() -> None:
    asked: list[int] = []

    def work(item: int) -> bool:
        asked.append(item)
        return item != 7 or asked.count(7) == 3

    Workers(lambda: None).run([*range(20)], work)
    assert sorted(asked) == sorted([*range(20), 7, 7])
    assert asked.index(19) < WORKERS


@pytest.mark.parametrize(("patience", "aborted"), [(0, ["abort"]), (20, [])])
def test_a_failure_stops_the_rest(patience: float, aborted: list[str]) -> None:
    told: list[str] = []
    workers = Workers(lambda: told.append("abort"), patience=patience)
    begun = threading.Barrier(2)
    ended: list[str] = []

    def work(item: str) -> bool:
        begun.wait(30)
        if item == "bad":
            raise ValueError(item)
        assert workers.cancelled.wait(30)
        try:
            workers.check()
        finally:
            ended.append(item)
        return True

    with pytest.raises(ValueError, match="bad"):
        workers.run(["good", "bad"], work)
    assert (ended, told) == (["good"], aborted)


def test_the_keyboard_wakes_who_waits_for_a_registry() -> None:
    answer = threading.Event()
    workers = Workers(answer.set)  # as the registry's client does
    ended: list[bool] = []

    def work(item: str) -> bool:
        _thread.interrupt_main()
        ended.append(answer.wait(30))
        return True

    with pytest.raises(KeyboardInterrupt):
        workers.run(["one"], work)
    assert ended == [True]


def is_joining(thread: threading.Thread) -> bool:
    assert thread.ident is not None
    frame: FrameType | None = sys._current_frames()[thread.ident]
    while frame is not None:
        if frame.f_code.co_name == "join":
            return True
        frame = frame.f_back
    return False


def test_the_keyboard_waits_for_those_at_work() -> None:
    """What is half done is removed next: nobody may still write to it."""
    stopped = threading.Event()
    workers = Workers(stopped.set)
    ended: list[int] = []

    def work(item: int) -> bool:
        while not is_joining(threading.main_thread()):
            os.sched_yield()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert stopped.wait(30)
        ended.append(sum(range(5_000_000)))  # longer than it takes to get out of `run`
        return True

    with pytest.raises(KeyboardInterrupt):
        workers.run([1], work)
    assert len(ended) == 1
