"""`pyrun history`: an image's steps in docker's columns; `--tags`: where a tag pointed when. HOT."""

from __future__ import annotations

from pyrun.cli import text as units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.history import Step, TagMove

HEADINGS = {
    "Comment": "COMMENT", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "CreatedSince": "CREATED",
    "ID": "IMAGE", "Size": "SIZE",
}  # fmt: skip
TAG_HEADINGS = {"Time": "WHEN", "Name": "NAME", "Action": "WHAT", "From": "FROM", "To": "TO"}
_CREATED_BY = 45  # docker's ellipsis


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "history", execute, usage="IMAGE", summary="Show the history of an image",
        params=[
            text("--format", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE"),
            flag("-H --human", "Print sizes and dates in human readable format", default=True),
            flag("--no-trunc", "Don't truncate output"),
            flag("-q --quiet", "Only show image IDs"),
            flag("--tags", "Show when the tag pointed to which manifest instead, also of one that was removed"),
            text("--platform", 'Show history for the given platform (e.g., "linux/amd64")'),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one line a step, the last one first."""
    from pyrun.engine import history as engine

    template, no_trunc = params["format"], params["no_trunc"]
    if params["tags"]:
        _print_moves(engine.tag_moves(session.layout, params["image"]), template, no_trunc=no_trunc)
        return 0
    steps = engine.history(session.layout, params["image"], params["platform"])
    if params["quiet"] and template in (None, "", "table"):
        for step in steps:
            print(_id(step, no_trunc))
        return 0
    now = units.now()
    rows = [_fields(step, human=params["human"], no_trunc=no_trunc, now=now) for step in steps]
    if template and template != "table":
        from pyrun.cli.formatting import Row, show_rows

        show_rows(template, [Row(row) for row in rows], HEADINGS)
        return 0
    created = "CreatedSince" if params["human"] else "CreatedAt"
    names = ("ID", created, "CreatedBy", "Size", "Comment")
    print(units.columns([[HEADINGS[name] for name in names], *([row[name] for name in names] for row in rows)]))
    return 0


def _id(step: Step, no_trunc: bool) -> str:
    return step.id if no_trunc or not step.id.startswith("sha256:") else step.id[7:19]


def _fields(step: Step, *, human: bool, no_trunc: bool, now: int) -> dict[str, str]:
    """Return what templates may name, in the order that `{{json .}}` prints."""
    created_at = _rfc3339(step.created)
    since = f"{units.human_duration(now - step.created)} ago" if step.created else "N/A"
    created_by = step.created_by.replace("\t", " ")
    return {
        "Comment": step.comment,
        "CreatedAt": created_at,
        "CreatedBy": created_by if no_trunc else units.ellipsis(created_by, _CREATED_BY),
        "CreatedSince": since if human else created_at,
        "ID": _id(step, no_trunc),
        "Size": units.human_size(step.size) if human else str(step.size),
    }


def _rfc3339(nanoseconds: int) -> str:
    """Write a time as docker's history does: local, to the second. Not by datetime: it costs 3 ms to import."""
    import time

    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    moment = time.localtime(nanoseconds // 1_000_000_000)
    zone = time.strftime("%z", moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def _print_moves(moves: list[TagMove], template: str | None, *, no_trunc: bool) -> None:
    from pyrun.cli.formatting import Row, show_rows
    from pyrun.oci import reference

    rows = []
    for move in moves:
        action = "set" if not move.old else "moved" if move.new else "removed"
        old, new = ((digest if no_trunc else digest[:19]) or "<none>" for digest in (move.old, move.new))
        name = reference.parse_normalized(move.name).familiar
        rows.append({"Action": action, "From": old, "Name": name, "Time": move.time, "To": new})
    names = ("Time", "Name", "Action", "From", "To")
    if template and template != "table":
        show_rows(template, [Row(row) for row in rows], TAG_HEADINGS)
    else:
        lines = [[row[name] for name in names] for row in rows]
        print(units.columns([[TAG_HEADINGS[name] for name in names], *lines]))
