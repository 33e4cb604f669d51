"""Points in time as pyrun's records write them: RFC 3339 with nanoseconds, and nanoseconds since 1970.

It must not know what they are of. HOT: `ps` and `logs` cannot afford to import datetime.
"""

from __future__ import annotations

_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_days_of: dict[str, int] = {}  # a list of a thousand knows few dates
ZERO = "0001-01-01T00:00:00Z"  # Go's zero time, which docker shows for "never"


def parse_rfc3339(text: str) -> int:
    """Return nanoseconds since 1970 of `2006-01-02T15:04:05[.999999999](Z|±hh:mm)`; 0 for "" and Go's zero time.

    Raises: ValueError for anything else.
    """
    if not text or text.startswith("0001-"):
        return 0
    date = text[:10]
    days = _days_of.get(date)
    if days is None:
        days = _days_of[date] = _days(int(date[:4]), int(date[5:7]), int(date[8:]))
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    rest = text[19:]
    nanoseconds = 0
    if rest[:1] == ".":
        digits = rest[1:].rstrip("Zz") if rest[-1] in "Zz" else rest[1:-6]
        rest = rest[1 + len(digits) :]
        nanoseconds = int((digits + "000000000")[:9])
    if rest not in ("Z", "z"):
        offset = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
        seconds += offset if rest[0] == "-" else -offset
    return (days * 86400 + seconds) * 1_000_000_000 + nanoseconds


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar."""
    before = year - 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return days + _DAYS_BEFORE[month - 1] + (leap and month > 2) + day - 1
