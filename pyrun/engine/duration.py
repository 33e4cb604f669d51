"""Spans of time in Go's words, "1h30m", as nanoseconds.

It must not know what they are for. Source: Go's time.ParseDuration and Duration.String.
"""

from __future__ import annotations

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1, "us": 1000, "\u00b5s": 1000, "\u03bcs": 1000, "ms": 1_000_000, "s": _SECOND, "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}  # fmt: skip


def parse(text: str) -> int | None:
    """Return the nanoseconds of a duration ("1h30m", "-5s", "0"), None if it is none."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total = 0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        unit = rest[len(number) :][: len(rest[len(number) :]) - len(rest[len(number) :].lstrip("nushm\u00b5\u03bc"))]
        whole, _, part = number.partition(".")
        if unit not in _UNITS or not number.strip(".") or "." in part:
            return None
        total += int(whole or "0") * _UNITS[unit] + int(part or "0") * _UNITS[unit] // 10 ** len(part)
        rest = rest[len(number) + len(unit) :]
    return sign * total if text.strip("+-") else None


def show(nanoseconds: int) -> str:
    """Return a duration as Go prints it: 1h2m3.5s, 30s, 1.5ms, 0s."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, length in (("ns", 1), ("\u00b5s", 1000), ("ms", 1_000_000)):
        if rest < length * 1000:
            return f"{sign}{_decimal(rest, length)}{unit}"
    minutes, rest = divmod(rest, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return f"{sign}{text}{_decimal(rest, _SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    return f"{whole}.{part:0{len(str(unit)) - 1}}".rstrip("0").rstrip(".") if part else str(whole)
