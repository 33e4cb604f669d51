"""Sizes as docker reads them: go-units RAMInBytes, a number, perhaps with a fraction, and a binary unit."""

from __future__ import annotations

from pyrun.errors import InvalidInputError

_UNITS = "bkmgtp"


def ram_bytes(text: str) -> int:
    """Return the bytes of ``64m``, ``1.5GiB``, ``4096``. Raises: InvalidInputError with docker's message."""
    lowered = text.lower().removesuffix("b")
    lowered = lowered.removesuffix("i") if lowered[-2:-1] in tuple(_UNITS[1:]) else lowered
    unit = lowered[-1:] if lowered[-1:] and lowered[-1:] in _UNITS[1:] else ""
    number = lowered.removesuffix(unit).strip()
    if not number or number.strip("0123456789.") or number.count(".") > 1 or number == "." or not number.isascii():
        raise InvalidInputError(f"invalid size: '{text}'")
    return int(float(number) * 1024 ** (_UNITS.index(unit) if unit else 0))
