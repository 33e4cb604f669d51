"""Spans of time as Go writes and reads them."""

from __future__ import annotations

import pytest

from pyrun.engine import duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-0", 0), ("0s", 0), ("30s", 30 * SECOND), ("1h2m3s", 3723 * SECOND), ("1.5s", 3 * SECOND // 2),
        (".5ms", 500_000), ("5.s", 5 * SECOND), ("1us", 1000), ("1\u00b5s", 1000), ("1\u03bcs", 1000),
        ("-2m", -120 * SECOND), ("+1ns", 1), ("0.1s", SECOND // 10), ("1h1h", 7200 * SECOND), ("", None), ("-", None),
        ("5", None), ("s", None), (".s", None), ("1x", None), ("1.2.3s", None), ("1 s", None), ("1d", None),
        ("1s2", None), ("--1s", None),
    ],
)  # fmt: skip
def test_parse(text: str, value: int | None) -> None:
    assert duration.parse(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0s"), (1, "1ns"), (1500, "1.5\u00b5s"), (2_000_000, "2ms"), (30 * SECOND, "30s"), (60 * SECOND, "1m0s"),
        (3723 * SECOND + SECOND // 2, "1h2m3.5s"), (-SECOND, "-1s"), (SECOND + 1, "1.000000001s"),
        (3600 * SECOND, "1h0m0s"),
    ],
)  # fmt: skip
def test_show(value: int, text: str) -> None:
    assert duration.show(value) == text
    assert duration.parse(text) == value
