"""`pyrun logs`: what a container wrote, each stream to its own. HOT."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text, unsupported

    return Verb(
        "logs", execute, usage="CONTAINER", summary="Fetch the logs of a container",
        params=[
            *unsupported("--details", ""),
            flag("-f --follow", "Follow log output"),
            text("--since", "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)"),
            text("-n --tail", "Number of lines to show from the end of the logs", default="all"),
            flag("-t --timestamps", "Show timestamps"),
            text("--until", "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)"),
            argument("container"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Copy the log to stdout and stderr."""
    from pyrun.engine import logs

    since, until = _instant(params["since"]), _instant(params["until"])
    out, err = sys.stdout.buffer, sys.stderr.buffer
    records = logs.read(
        session.layout, params["container"], tail=_tail(params["tail"]), since=since, until=until,
        follow=params["follow"],
    )  # fmt: skip
    for record in records:
        if record is None:  # nothing more for now: show what there is before waiting
            out.flush()
            err.flush()
            continue
        stamp = record.time + " " if params["timestamps"] else ""
        stream = err if record.stream == "stderr" else out
        stream.write((stamp + record.text).encode("utf-8", "surrogateescape"))
    out.flush()
    err.flush()
    return 0


def _tail(text: str) -> int:
    """Return how many lines, -1 for all: docker takes any text that is no number for "all"."""
    return int(text) if text.isascii() and text.isdigit() else -1


def _instant(text: str | None) -> int | None:
    if not text:
        return None
    from pyrun.cli.times import parse_instant

    return parse_instant(text)
