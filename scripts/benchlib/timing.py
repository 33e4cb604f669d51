"""Runs commands and times them: posix_spawn to wait4, nothing of Python in between."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class CommandFailedError(Exception):
    """A command that should succeed did not; the text is its last words."""


class Command:
    """A command to be timed: ``prepare`` before and ``clean`` after each sample are not counted."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        *,
        prepare: Callable[[], None] | None = None,
        clean: Callable[[], None] | None = None,
    ) -> None:
        self.argv = list(argv)
        self.environment = environment
        self.prepare = prepare
        self.clean = clean

    def sample(self, log: Path, *, sync: bool) -> float:
        """Run once and return the seconds it took; sync(2) first, so that nobody pays for another's writes."""
        if self.prepare:
            self.prepare()
        try:
            if sync:
                os.sync()
            return run(self.argv, self.environment, log)
        finally:
            if self.clean:
                self.clean()


def run(argv: list[str], environment: dict[str, str], log: Path) -> float:
    """Run a command with its output in ``log``; return the seconds it took.

    Raises: CommandFailedError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    started = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    _, status, _ = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        words = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise CommandFailedError(f"{' '.join(argv[:6])} …: exit {code}: {' | '.join(words)}")
    return seconds


def interleave(
    commands: dict[str, Command], samples: int, log: Path, *, sync: bool, warm: bool = True
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Take ``samples`` of every command in turn; return the times, and the reasons of those that fail.

    Machines drift (clocks, caches, other guests): by turns, all commands see the same drift. ``warm``: one round first
    that is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in commands}
    failures: dict[str, str] = {}
    for count in range(-1 if warm else 0, samples):
        for name, command in commands.items():
            if name in failures:
                continue
            try:
                seconds = command.sample(log, sync=sync)
            except (CommandFailedError, OSError) as error:
                failures[name] = str(error)
                continue
            if count >= 0:
                times[name].append(seconds)
    return {name: found for name, found in times.items() if name not in failures}, failures


def summary(times: list[float]) -> dict[str, float]:
    """Return median, minimum and the quartiles' distance, in milliseconds."""
    quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
    return {
        "median_ms": round(statistics.median(times) * 1000, 2),
        "min_ms": round(min(times) * 1000, 2),
        "spread_ms": round((quartiles[2] - quartiles[0]) * 1000, 2),
        "samples": len(times),
    }
