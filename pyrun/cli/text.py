"""docker's way to write durations, sizes and columns, and a line of `ps`. HOT: `ps` reads it.

Source: docker's units.HumanDuration and units.HumanSize; text/tabwriter as docker/cli sets it (minimum 10, gap 3).
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pyrun.engine.ps import Container

_GAP = 3
_LEAST = 10
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def now() -> int:
    """Return nanoseconds since 1970."""
    return time.time_ns()


def human_duration(nanoseconds: int) -> str:
    """Write a span of time in one unit: "5 seconds", "About a minute", "3 weeks"."""
    seconds = nanoseconds // 1_000_000_000
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = (seconds + 1800) // 3600
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for unit, length, limit in (("days", 24, 24 * 14), ("weeks", 24 * 7, 24 * 60), ("months", 24 * 30, 24 * 730)):
        if hours < limit:
            return f"{hours // length} {unit}"
    return f"{seconds // 3600 // 24 // 365} years"


def human_size(size: float, precision: int = 3) -> str:
    """Write a size in decimal units with `precision` digits: "4.26MB". docker: 3 digits in `images`, else 4."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    digits = f"{size:.{precision}g}"
    return (f"{size:.0f}" if "e" in digits else digits) + _UNITS[unit]


def binary_size(size: float) -> str:
    """Write a size in binary units with 4 digits: "1.5MiB". docker: memory in `stats`."""
    unit = 0
    while size >= 1024 and unit < len(_BINARY_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.4g}{_BINARY_UNITS[unit]}"


def columns(rows: Sequence[Sequence[str]], least: int = _LEAST) -> str:
    """Align rows: a column is as wide as its widest cell and three more, at least `least`; the last is not padded.

    A table is for eyes, mostly at a terminal: nothing in it is raw.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(least, max(map(len, column)) + _GAP) for column in zip(*rows, strict=True)]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows
    )


def ellipsis(text: str, length: int) -> str:
    """Shorten to at most `length` characters, the last of which is "…"."""
    return text if len(text) <= length else text[: length - 1] + "…"


def quote(text: str) -> str:
    """Quote as Go's strconv.Quote, for what may stand in a command."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x7f": "\\x7f", "\x1b": "\\x1b"}
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else _escape(c)) for c in text) + '"'


def json_text(document: Any) -> str:
    """Write JSON as docker does, but for what a terminal would obey, or UTF-8 cannot hold: that is escaped."""
    parts: list[str] = []
    _write_json(document, "\n", parts)
    return "".join(parts)


def _write_json(value: Any, newline: str, parts: list[str]) -> None:
    # Not by `json`: its import costs 6 ms, and its C encoder cannot indent. One frame a level, as there.
    inner = newline + "    "
    if isinstance(value, str):
        parts.append(_json_string(value))
    elif isinstance(value, dict) and value:
        for number, (key, item) in enumerate(value.items()):
            parts += (",{"[not number], inner, _json_string(key), ": ")
            _write_json(item, inner, parts)
        parts += (newline, "}")
    elif isinstance(value, (list, tuple)) and value:
        for number, item in enumerate(value):
            parts += (",["[not number], inner)
            _write_json(item, inner, parts)
        parts += (newline, "]")
    else:
        from pyrun.oci import json

        parts.append(json.dumps(value))


def _json_string(text: str) -> str:
    from _json import encode_basestring

    return escaped_json(encode_basestring(text))


def escaped_json(text: str) -> str:
    """Escape in JSON what a terminal would obey, or UTF-8 cannot hold: it says the same."""
    if text.isprintable():
        return text
    from _json import encode_basestring_ascii

    return "".join(c if c.isprintable() or c == "\n" else encode_basestring_ascii(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """Escape what a terminal would obey: registries and archives have a say in our sentences. Lines stay lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def for_terminal(text: str) -> str:
    """Escape it if standard output is a terminal; a script gets every character as it is."""
    return printable(text) if os.isatty(1) else text


def _escape(character: str) -> str:
    # C1 controls too: a terminal obeys U+009B as it does ESC [.
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    if 0xDC80 <= number < 0xDD00:  # a byte that is no UTF-8: PEP 383
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def container_row(container: Container, *, no_trunc: bool, now: int) -> tuple[str, ...]:
    """Return one line of `ps`."""
    record = container.record
    return (
        container.id if no_trunc else container.id[:12],
        container_image(container, no_trunc=no_trunc),
        container_command(record, no_trunc=no_trunc),
        human_duration(now - container.created) + " ago",
        container_status(container, now=now),
        container_ports(record) if container.state.status == "running" else "",
        record["name"],
    )


def container_image(container: Container, *, no_trunc: bool) -> str:
    """Return what the user called the image, or, where that is no longer its name, its id."""
    is_id = container.image == container.record["image_id"]
    return container.image[7:19] if is_id and not no_trunc and container.image else container.image or "<no image>"


def container_command(record: Mapping[str, Any], *, no_trunc: bool) -> str:
    """Return the quoted command line."""
    line = " ".join(record["args"])
    return quote(line if no_trunc else ellipsis(line, 20))


def container_status(container: Container, *, now: int) -> str:
    """Return the STATUS column: "Up 5 seconds (healthy)", "Exited (0) 2 minutes ago", "Restarting (1) …", "Created"."""
    from pyrun.engine.instant import parse_rfc3339

    state = container.state
    if state.status == "running":
        return f"Up {human_duration(now - parse_rfc3339(state.started))}{_condition(container)}"
    if state.status in ("exited", "restarting"):
        ago = human_duration(now - parse_rfc3339(state.finished))
        return f"{state.status.capitalize()} ({state.exit_code}) {ago} ago"
    return state.status.capitalize()


def _condition(container: Container) -> str:
    if container.state.paused:
        return " (Paused)"
    return {"starting": " (health: starting)", "none": ""}.get(container.health, f" ({container.health})")


def container_ports(record: Mapping[str, Any]) -> str:
    """Return the PORTS column: "0.0.0.0:8080->80/tcp, 443-444/tcp"; neighbours that keep their number are one range."""
    published, exposed = record["ports"], record.get("exposed")
    if not (published or exposed) or record["network"] in ("none", "host"):
        return ""
    ranges: dict[tuple[str, str], list[int]] = {}
    words, moved = [], []
    for number, host, outside, protocol in _sorted_ports(published, exposed or ()):
        if host and outside != number:
            moved.append(f"{host}:{outside}->{number}/{protocol}")
            continue
        kind = (host, protocol)
        if kind in ranges and number == ranges[kind][1] + 1:
            ranges[kind][1] = number
            continue
        if kind in ranges:
            words.append(_range(kind, *ranges[kind]))
        ranges[kind] = [number, number]
    words += [_range(kind, *found) for kind, found in ranges.items()]
    return ", ".join(words + moved)


def _sorted_ports(published: Sequence[Mapping[str, Any]], exposed: Sequence[str]) -> list[tuple[int, str, int, str]]:
    ports = []
    for port in published:
        ip = port["host_ip"] or "0.0.0.0"
        host = (f"[{ip}]" if ":" in ip else ip) if port["host_port"] else ""
        ports.append((port["container_port"], host, port["host_port"], port["protocol"]))
    known = {(number, protocol) for number, _, _, protocol in ports}
    for text in exposed:
        number, _, protocol = text.partition("/")
        if number.isdecimal() and (int(number), protocol or "tcp") not in known:
            ports.append((int(number), "", 0, protocol or "tcp"))
    return sorted(ports)


def _range(kind: tuple[str, str], first: int, last: int) -> str:
    host, protocol = kind
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{host}:{numbers}->{numbers}/{protocol}" if host else f"{numbers}/{protocol}"
