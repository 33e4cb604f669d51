"""`pyrun events`: what happens, line by line, until interrupted. Cold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, many, text
from pyrun.cli.document_types import typed
from pyrun.cli.gotemplate.values import Struct
from pyrun.cli.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.cli.main import Session
    from pyrun.engine.event_log import Event


_ORDER = ("Status", "ID", "From", "Type", "Action", "Actor", "Scope", "Time", "TimeNano")


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "events", execute, usage="", summary="Get real time events from the server",
        params=[
            many("-f --filter", "Filter output based on conditions provided", metavar="filter"),
            text("--format", "Format output using a custom template: json or TEMPLATE"),
            text("--since", "Show all events created since timestamp"),
            text("--until", "Stream events until this timestamp"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print events as they come; Ctrl-C ends it."""
    import sys

    from pyrun.cli.errors import report
    from pyrun.cli.gotemplate import TemplateError
    from pyrun.cli.times import parse_instant
    from pyrun.engine import event_log

    since, until = (parse_instant(params[name]) if params[name] else None for name in ("since", "until"))
    try:
        show = _printer(params["format"])
    except TemplateError as error:
        report(error, verb="events", debug=False)
        return 64  # docker's code
    for event in event_log.read(session.layout, since=since, until=until, filters=params["filter"]):
        if event is None:
            sys.stdout.flush()
        else:
            print(show(event))
    return 0


def _printer(template: str | None) -> Callable[[Event], str]:
    if not template:
        return _line
    from pyrun.cli.formatting import render
    from pyrun.cli.gotemplate import Template
    from pyrun.engine.event_log import Event

    if template == "json":
        return lambda event: render("json", _document(event))
    parsed = Template(template.replace("\\t", "\t").replace("\\n", "\n"))
    parsed.render(
        _fields(Event({"Type": "", "Action": "", "ID": "", "Attributes": {}, "timeNano": 0}))
    )  # docker tries it
    return lambda event: parsed.render(_fields(event))


def _line(event: Event) -> str:
    """Write docker's line: local time, type, action, id, attributes by name."""
    from datetime import datetime

    moment = datetime.fromtimestamp(event.time_nano // 10**9).astimezone()
    zone = moment.strftime("%z")
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    line = f"{moment:%Y-%m-%dT%H:%M:%S}.{event.time_nano % 10**9:09}{zone} {event.type} "
    line += f"{_printable(event.action)} {event.id}"
    if not event.attributes:
        return line
    words = [f"{key}={value}" for key, value in sorted(event.attributes.items())]
    return f"{line} ({', '.join(map(_printable, words))})"


def _printable(words: str) -> str:
    """Write control characters as escapes: what a label holds must not forge a line or talk to the terminal."""
    return words if words.isprintable() else quote(words)[1:-1]


def _document(event: Event) -> dict[str, Any]:
    """Return the JSON of docker's API: events.Message with its fields of old."""
    old: dict[str, Any] = {}
    if event.type in ("container", "image"):
        old = {"status": event.action, "id": event.id}
    if event.type == "container":
        old["from"] = event.attributes.get("image", "")
    return {
        **old,
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(sorted(event.attributes.items()))},
        "scope": event.scope,
        "time": event.time_nano // 10**9,
        "timeNano": event.time_nano,
    }


def _fields(event: Event) -> Struct:
    """Return what a template reaches: the fields of Go's events.Message, whose JSON has other names."""
    document = _document(event)
    names = {"Status": "status", "ID": "id", "From": "from", "Scope": "scope", "Time": "time", "TimeNano": "timeNano"}
    also = {go: document.get(name, "") for go, name in names.items()}
    shown = typed(document)
    return Struct(shown, also=also, absent=names.values(), hidden=also, order=_ORDER)
