"""Points in time as a user writes them for `--since` and `--until`, and as lists show them.

Go durations, Unix times, dates. Source: docker's timetypes.GetTimestamp and Go's time.ParseDuration. Imported only
when such an option is given.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from pyrun.engine import duration
from pyrun.errors import InvalidInputError

SECOND = 10**9
_UNIX = re.compile(r"(-?\d+)(?:\.(\d{1,9}))?", re.ASCII)
# What may be left out of RFC 3339: the zone, the fraction, the seconds, the minutes, the time.
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(?:(Z)|([+-])(\d\d):(\d\d))?", re.ASCII
)


def parse_instant(text: str, *, now: int | None = None) -> int:
    """Return nanoseconds since 1970, exactly. A duration is counted back from `now`; a date without zone is local.

    Raises: InvalidInputError.
    """
    reference = time.time_ns() if now is None else now
    span = None if text == "0" else duration.parse(text)  # docker: that is 1970
    if span is not None:
        return reference - span
    if unix := _UNIX.fullmatch(text):
        return int(unix[1]) * SECOND + _fraction(unix[2])
    if date := _DATE.fullmatch(text):
        try:
            return _of_date(date, reference)
        except ValueError:  # no such day or hour
            pass
    raise InvalidInputError(
        f"invalid time: {text!r}",
        hint="write 10m, 1h30m, 2006-01-02T15:04:05Z, 2006-01-02 or seconds since 1970",
    )


def shown(nanoseconds: int) -> str:
    """Write a point in time as docker's lists do, in local time: 2006-01-02 15:04:05 +0200 CEST."""
    return datetime.fromtimestamp(nanoseconds // SECOND).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z")


def _of_date(date: re.Match[str], reference: int) -> int:
    year, month, day, hour, minute, second = (int(part or 0) for part in date.groups()[:6])
    if date[8]:
        offset = 0
    elif date[9]:
        offset = (int(date[10]) * 3600 + int(date[11]) * 60) * (-1 if date[9] == "-" else 1)
    else:
        offset = time.localtime(reference // SECOND).tm_gmtoff  # docker's zone of now, not of then
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return ((moment - _EPOCH) // timedelta(seconds=1) - offset) * SECOND + _fraction(date[7])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _fraction(digits: str | None) -> int:
    return int(((digits or "") + "000000000")[:9])
