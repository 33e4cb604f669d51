"""Points in time as a user writes them for `--since` and `--until`: Go durations, Unix times, dates.

Source: docker's timetypes.GetTimestamp. Imported only when such an option is given.
"""

from __future__ import annotations

import re
import time
from datetime import datetime

from pyrun.errors import InvalidInputError

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIX = re.compile(r"-?\d+(\.\d{1,9})?")


def parse_instant(text: str, *, now: int | None = None) -> int:
    """Return nanoseconds since 1970. A duration is counted back from `now`; a date without zone is local.

    Raises: InvalidInputError.
    """
    duration = parse_duration(text)
    if duration is not None:
        return (time.time_ns() if now is None else now) - duration
    if _UNIX.fullmatch(text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 10**9 + int((fraction + "000000000")[:9])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"invalid time: {text!r}", hint="write 10m, 1h30m, 2006-01-02T15:04:05Z or seconds since 1970"
        ) from None
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000


def parse_duration(text: str) -> int | None:
    """Return the nanoseconds of a Go duration ("1h30m", "-5s"), None if it is none."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    total, position = 0.0, 0
    for part in _PART.finditer(rest):
        if part.start() != position:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return sign * int(total) if rest and position == len(rest) else None
