"""docker's units, columns, times, and the outputs of ps and pull."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from pyrun.cli import formatting, progress, text
from pyrun.engine.instant import parse_rfc3339

SECOND = 10**9


def test_json_says_all_and_a_terminal_obeys_nothing() -> None:
    document = {"label": "\x1b[2J \x9b2J \x7f \ud800 \U000e0001 \u202e é ✓\n", "none": []}
    written = text.json_text(document)
    assert json.loads(written) == document
    assert written.replace("\n", "").isprintable()
    assert "é ✓" in written
    assert text.json_text([]) == "[]"


@pytest.mark.parametrize(
    "document",
    [
        [{"Id": "sha256:0", "Tags": [], "Labels": {}, "Config": {"Env": ['A=é"\\\n'], "User": ""}, "Size": 10**20}],
        {"": None, "a": True, "b": False, "c": -1.5e-7, "d": [[], [[1, {"x": [2]}]], {}], "e": ("f",)},
        "text",
        0,
        None,
    ],
)
def test_json_is_laid_out_as_by_the_standard_library(document: Any) -> None:
    assert text.json_text(document) == json.dumps(document, indent=4, ensure_ascii=False)


HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (SECOND // 2, "Less than a second"),
        (SECOND, "1 second"),
        (5 * SECOND, "5 seconds"),
        (60 * SECOND, "About a minute"),
        (125 * SECOND, "2 minutes"),
        (59 * 60 * SECOND, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * 60 * SECOND, "About an hour"),
        (90 * 60 * SECOND, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * 24 * HOUR, "13 days"),
        (14 * 24 * HOUR, "2 weeks"),
        (60 * 24 * HOUR, "2 months"),
        (730 * 24 * HOUR, "2 years"),
    ],
)
def test_human_duration_is_dockers(span: int, words: str) -> None:
    assert text.human_duration(span) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (4261550, "4.26MB"), (117_000_000, "117MB"), (999_900, "1000kB")],
)  # fmt: skip
def test_human_size_is_dockers(size: int, words: str) -> None:
    assert text.human_size(size) == words
    assert text.human_size(999_600, 4) == "999.6kB"


def test_columns_are_as_wide_as_dockers() -> None:
    rows = [("REPOSITORY", "TAG", "IMAGE ID"), ("a", "latest", "0123456789ab")]
    assert text.columns(rows) == "REPOSITORY   TAG       IMAGE ID\na            latest    0123456789ab"


EVIL = "a\x1b]0;b\x07\x9b2J\u202ec"


def test_a_table_cannot_speak_to_the_terminal() -> None:
    assert text.columns([("NAME", "X"), (EVIL, EVIL)]).isascii()
    assert "\\x1b]0;b\\x07\\u009b2J\\u202ec" in text.columns([("NAME", "X"), (EVIL, "")])


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_templates_write(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    """JSON and tables are escaped always; a script is given a value as it is; the user's own template stays."""
    monkeypatch.setattr("os.isatty", lambda fd: is_terminal)
    rows = [formatting.Row({"Labels": EVIL})]
    formatting.show_rows("json", rows, {})
    line = capsys.readouterr().out.removesuffix("\n")
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"Labels": EVIL}
    formatting.show_rows("\x1b[1m{{.Labels}}", rows, {})
    shown = text.printable(EVIL) if is_terminal else EVIL
    assert capsys.readouterr().out == f"\x1b[1m{shown}\n"
    formatting.show_rows("table {{.Labels}}", rows, {"Labels": "LABELS"})
    assert capsys.readouterr().out == f"LABELS\n{text.printable(EVIL)}\n"
    assert formatting.Document("{{.Labels}}").render({"Labels": EVIL}) == shown
    assert json.loads(formatting.as_json([{"Labels": EVIL}])) == [{"Labels": EVIL}]


def test_command_is_cut_and_quoted() -> None:
    record = {"args": ["sh", "-c", 'echo "a long line"']}
    assert text.container_command(record, no_trunc=False) == '"sh -c echo \\"a long …"'
    assert text.container_command(record, no_trunc=True) == '"sh -c echo \\"a long line\\""'


def test_a_command_cannot_speak_to_the_terminal() -> None:
    assert text.quote("\x1b[31m\x9b1m\x07\u202e\udcff\U000e0001☃\n") == (
        '"\\x1b[31m\\u009b1m\\x07\\u202e\\xff\\U000e0001☃\\n"'
    )


def mapping(container: int, host: int, ip: str = "", protocol: str = "tcp") -> dict[str, Any]:
    return {"host_ip": ip, "host_port": host, "container_port": container, "protocol": protocol}


@pytest.mark.parametrize(
    ("published", "exposed", "wanted"),
    [
        # all as docker 28.2.2 prints them
        ([], [], ""),
        ([], ["443/tcp", "444/tcp", "446/tcp", "53/udp"], "443-444/tcp, 53/udp, 446/tcp"),
        (
            [mapping(80, 8080), mapping(53, 53, "::1", "udp"), mapping(443, 0)],
            ["80/tcp"],
            "[::1]:53->53/udp, 443/tcp, 0.0.0.0:8080->80/tcp",
        ),
        (
            [mapping(80, 8080), mapping(90, 90), mapping(91, 91), mapping(80, 8080, "::")],
            ["443/tcp", "444/tcp"],
            "0.0.0.0:90-91->90-91/tcp, 443-444/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
        ),
    ],
)
def test_ports(published: list[dict[str, Any]], exposed: list[str], wanted: str) -> None:
    record = {"ports": published, "exposed": exposed, "network": "private"}
    assert text.container_ports(record) == wanted
    assert text.container_ports(record | {"network": "none"}) == ""


@pytest.mark.parametrize(
    ("stamp", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T12:34:56.789Z", 1709210096_789000000),
        ("2024-03-01T00:00:00.000000001Z", 1709251200_000000001),
        ("2024-03-01T02:00:00.5+02:00", 1709251200_500000000),
        ("2023-12-31T19:00:00-05:00", 1704067200_000000000),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
    ],
)
def test_rfc3339(stamp: str, nanoseconds: int) -> None:
    assert parse_rfc3339(stamp) == nanoseconds


def test_rfc3339_agrees_with_datetime_on_every_day() -> None:
    from datetime import UTC, datetime, timedelta

    day = datetime(1999, 12, 30, 23, 59, 58, tzinfo=UTC)
    for _ in range(1600):
        assert parse_rfc3339(day.isoformat()) == int(day.timestamp()) * SECOND
        day += timedelta(days=6, hours=7)


def test_format_table_has_dockers_headings(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [formatting.Row({"ID": "abc", "Names": "web"})]
    formatting.show_rows("table {{.ID}}\\t{{.Names}}", rows, {"ID": "CONTAINER ID", "Names": "NAMES"})
    formatting.show_rows("{{.Names}}!", rows, {})
    formatting.show_rows("json", rows, {})
    assert capsys.readouterr().out == 'CONTAINER ID   NAMES\nabc            web\nweb!\n{"ID":"abc","Names":"web"}\n'


def test_pull_lines_are_plain_in_a_pipe() -> None:
    stream = io.StringIO()
    with progress.shown_on(stream) as hear:
        hear("from", "docker.io/library/busybox:1", 0)
        hear("resolved", "sha256:" + "0" * 64, 1)
        hear("waiting", "sha256:" + "a" * 64, 10)
        hear("start", "sha256:" + "a" * 64, 10)
        hear("start", "sha256:" + "a" * 64, 10)
        hear("bytes", "sha256:" + "a" * 64, 10)
        hear("done", "sha256:" + "a" * 64, 10)
        hear("exists", "sha256:" + "b" * 64, 10)
    assert stream.getvalue().splitlines() == [
        "1: Pulling from library/busybox", "aaaaaaaaaaaa: Waiting", "aaaaaaaaaaaa: Pulling fs layer",
        "aaaaaaaaaaaa: Pull complete", "bbbbbbbbbbbb: Already exists",
    ]  # fmt: skip
