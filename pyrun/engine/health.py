"""Health checks: what is to be checked, what the monitor is told, and what it has found.

It must not run one: the monitor does (native/monitor/health.c). Rules and words: moby daemon/health.go; shapes of
``Healthcheck`` and ``State.Health``: Docker Engine API. Durations in nanoseconds.
"""

from __future__ import annotations

import os

from pyrun.errors import ConflictError, InvalidInputError
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import RunOptions
    from pyrun.runtime.state import State

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
STATUSES = (STARTING, HEALTHY, UNHEALTHY, NONE)
_FILE = "health"  # docker's State.Health, replaced by rename; its status comes first
_MILLISECOND, _SECOND = 1_000_000, 1_000_000_000
# docker's names, ours, and what an absent value or 0 stands for.
_DURATIONS = (
    ("Interval", "health_interval", 30 * _SECOND), ("Timeout", "health_timeout", 30 * _SECOND),
    ("StartPeriod", "health_start_period", 0), ("StartInterval", "health_start_interval", 5 * _SECOND),
)  # fmt: skip
_RETRIES = 3


def decide(options: RunOptions, image: dict[str, Any]) -> dict[str, Any] | None:
    """Return docker's Healthcheck: what the options say, and what they leave open as the image says.

    Raises: InvalidInputError.
    """
    own = _from_options(options)
    if options.no_healthcheck:
        if own:
            raise InvalidInputError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    return {**(image.get("healthcheck") or {}), **own} or None


def _from_options(options: RunOptions) -> dict[str, Any]:
    """Return what the options say; 0 is docker's word for "as the image says"."""
    own: dict[str, Any] = {"Test": ["CMD-SHELL", options.health_cmd]} if options.health_cmd else {}
    for name, attribute, _ in _DURATIONS:
        given = getattr(options, attribute)
        if given is not None:
            own[name] = _duration(given, name, "--" + attribute.replace("_", "-"))
    if options.health_retries is not None:
        if options.health_retries < 0:
            raise InvalidInputError("--health-retries cannot be negative")
        own["Retries"] = options.health_retries
    return {name: value for name, value in own.items() if value}


def _duration(text: str, name: str, flag: str) -> int:
    from pyrun.engine import duration

    value = duration.parse(text)
    if value is None:
        raise InvalidInputError(f'invalid argument "{text}" for "{flag}" flag: not a duration', hint="as in 1m30s")
    if value < 0:
        raise InvalidInputError(f"{flag} cannot be negative")
    if 0 < value < _MILLISECOND:
        raise InvalidInputError(f"{name} in Healthcheck cannot be less than 1ms")
    return value


def arguments(record: dict[str, Any]) -> list[str]:
    """Return the command of a container's check; none where there is no check, or none that docker would run."""
    kind, *words = (record.get("healthcheck") or {}).get("Test") or [""]
    if kind == "CMD-SHELL" and words:
        return [*(record.get("shell") or ("/bin/sh", "-c")), *words]
    return words if kind == "CMD" else []


def orders(record: dict[str, Any], config: dict[str, Any], programs: list[bytes]) -> bytes:
    """Return what the monitor is told: a process of the container's own user, environment, capabilities and filters.

    Nothing where nothing is to be checked.
    """
    if not arguments(record):
        return b""
    from pyrun.engine import duration
    from pyrun.runtime import compile as compiler
    from pyrun.runtime.health_check import Check

    asked = record["healthcheck"]
    interval, timeout, start_period, start_interval = (asked.get(name) or absent for name, _, absent in _DURATIONS)
    check = Check(
        interval, timeout, start_period, start_interval, asked.get("Retries") or _RETRIES,
        f"Health check exceeded timeout ({duration.show(timeout)})",
    )  # fmt: skip
    process = {**config["process"], "args": arguments(record), "terminal": False}
    return check.encode(compiler.exec_flags(config), compiler.compile_exec(process, programs))


def status(directory: str, record: dict[str, Any], now: State) -> str:
    """Return starting, healthy or unhealthy; none where nothing is checked. HOT: `ps` asks it of each container."""
    if not arguments(record):
        return NONE
    if now.status != "running":
        return UNHEALTHY  # docker: when its checks have ended
    try:
        fd = os.open(f"{directory}/{_FILE}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NONE  # its monitor is of an older pyrun
    try:
        word = os.read(fd, 64).split(b'"', 4)[3].decode()
    finally:
        os.close(fd)
    return word if word in STATUSES else NONE


def inspect(directory: str, record: dict[str, Any], now: State) -> dict[str, Any] | None:
    """Return docker's State.Health; None where nothing is checked, or never was."""
    word = status(directory, record, now)
    if word == NONE or not now.started:
        return None
    if not os.path.exists(f"{directory}/{_FILE}"):
        return None  # its monitor was killed before it had said anything
    found = containers.load_file(directory, _FILE)
    return {"Status": word, "FailingStreak": found["FailingStreak"], "Log": found["Log"]}


def wait(directory: str, name: str, condition: str) -> bool:
    """Wait until a container is ``healthy`` or ``unhealthy``; False if it has ended instead.

    One that waits to be started again has not ended. Raises: ConflictError if nothing is checked.
    """
    from pyrun.engine.log_watch import Watch

    record = containers.load(directory)
    if not arguments(record):
        raise ConflictError(f"cannot wait for container: {name}: it has no health check")
    watch = Watch(directory, None, is_ephemeral=False, until=None)
    try:
        while True:
            now = state.status(directory)
            if now.status == "running" and status(directory, record, now) == condition:
                return True
            if watch.wait():
                return False
    finally:
        watch.close()
