"""`--since` and `--until`: docker's durations and dates, exact to the nanosecond, as the log's reader takes them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrun._native import ffi, lib

from pyrun.cli.times import parse_instant
from pyrun.engine import duration
from pyrun.engine.instant import parse_rfc3339
from pyrun.errors import InvalidInputError

SECOND = 10**9
NOON = 1704110400 * SECOND  # 2024-01-01T12:00:00Z
LATEST = (1 << 32) * SECOND


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hours and three quarters east of Greenwich."""
    monkeypatch.setenv("TZ", "NPT-5:45")
    time.tzset()


@pytest.mark.parametrize(
    ("words", "nanoseconds"),
    [
        ("1h30m", 5400 * SECOND), ("-5s", -5 * SECOND), ("+5s", 5 * SECOND), ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("1.s", SECOND), ("10ms", 10**7), ("3us", 3000), ("3µs", 3000), ("3μs", 3000), ("7ns", 7), ("0s", 0),
        ("1h0.000000001s", 3600 * SECOND + 1), ("9999999h", 9999999 * 3600 * SECOND),
        ("", None), ("0", 0), ("5", None), (".s", None), ("5 s", None), ("5d", None), ("-", None), ("1h30", None),
        ("h", None), ("٥s", None),
    ],
)  # fmt: skip
def test_durations_are_gos(words: str, nanoseconds: int | None) -> None:
    assert duration.parse(words) == nanoseconds


@pytest.mark.parametrize(
    ("words", "instant"),
    [
        ("10m", NOON - 600 * SECOND), ("-10m", NOON + 600 * SECOND), ("0", 0), ("1704110400", NOON),
        ("1704110400.000000001", NOON + 1), ("1704110400.5", NOON + SECOND // 2), ("-1", -SECOND),
        ("2024-01-01T12:00:00Z", NOON), ("2024-01-01T12:00:00.123456789Z", NOON + 123456789),
        ("2024-01-01T13:30:00+01:30", NOON), ("2024-01-01T06:00:00.5-06:00", NOON + SECOND // 2),
        ("2024-01-01T12:00Z", NOON), ("2024-01-01T12Z", NOON), ("2024-01-01T13+01:00", NOON),
        ("2024-01-01Z", NOON - 12 * 3600 * SECOND), ("2024-01-01-12:00", NOON),
        ("2024-01-01T17:45:00", NOON), ("2024-01-01T17:45", NOON), ("2024-01-01T17:45:00.000000007", NOON + 7),
        ("2024-01-02", NOON + (12 * 3600 - 20700) * SECOND), ("2024-02-29Z", 1709164800 * SECOND),
        ("1969-12-31T23:59:59Z", -SECOND),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("in_kathmandu")
def test_instants_are_dockers(words: str, instant: int) -> None:
    assert parse_instant(words, now=NOON) == instant


@pytest.mark.parametrize(
    "words",
    [
        "yesterday", "2023-02-29", "2024-13-01", "2024-01-01T25", "2024-1-1", "2024-01-01 12:00",
        "2024-01-01T12:00:00z",
        "2024-01-01T12:00:00.Z", "12:00", "1.2.3", "1e3", " 5", "20240101T120000Z", "2024-01-01T12:00:00+0100",
    ],
)  # fmt: skip
def test_what_is_no_instant(words: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid time"):
        parse_instant(words, now=NOON)


def shown(driver: int, record: bytes, since: int, until: int) -> bytes:
    """Ask the log's reader for one record."""
    details, size = ffi.new("char[]", b""), 4096
    memory = ffi.new("char[]", size), ffi.new("struct pyrun_log_run[]", 4)
    text = ffi.new("struct pyrun_log_text *", {"bytes": memory[0], "size": size, "runs": memory[1], "run_size": 4})
    view = ffi.new("struct pyrun_log_view *", {
        "driver": driver, "has_range": 1, "since": since, "until": until, "details": details, "timestamps": 1,
    })  # fmt: skip
    assert lib.pyrun_log_show(view, record, len(record), text) == len(record)
    return bytes(ffi.buffer(text.bytes, text.used))


@given(st.integers(0, LATEST))
def test_all_readers_of_a_time_agree(moment: int) -> None:
    """The command line, the records of Python, and both forms of the log's reader in C."""
    seconds, fraction = divmod(moment, SECOND)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09}Z"
    assert parse_instant(stamp) == parse_rfc3339(stamp) == moment
    json_record = f'{{"log":"x\\n","stream":"stdout","time":"{stamp}"}}\n'.encode()
    for driver, record in (
        (0, json_record),
        (1, f"{stamp} stdout F x\n".encode()),
        (2, f"O{moment:016x} x\n".encode()),
    ):
        assert shown(driver, record, moment, moment) == f"{stamp} x\n".encode()
        assert shown(driver, record, moment + 1, 2 * LATEST - SECOND) == b""
        assert shown(driver, record, 0, moment - 1) == b""
