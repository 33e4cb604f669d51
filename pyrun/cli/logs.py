"""`pyrun logs`: what a container wrote, each stream to its own. HOT."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "logs", execute, usage="CONTAINER", summary="Fetch the logs of a container",
        params=[
            flag("--details", "Show extra details provided to logs"),
            flag("-f --follow", "Follow log output"),
            text("--since", "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)"),
            text("-n --tail", "Number of lines to show from the end of the logs", default="all"),
            flag("-t --timestamps", "Show timestamps"),
            text("--until", "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)"),
            argument("container"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Copy the log to stdout and stderr, in the order it was written in."""
    from pyrun.engine import logs

    options = logs.LogOptions(
        tail=_tail(params["tail"]), since=_instant(params["since"]), until=_instant(params["until"]),
        follow=params["follow"], timestamps=params["timestamps"], details=params["details"],
    )  # fmt: skip
    for run in logs.read(session.layout, params["container"], options):
        if run is None:
            continue
        stream, text = run
        if stream == logs.NOTICE:
            _write(2, b"pyrun: " + text + b"\n")
        else:
            _write(stream, text)
    return 0


def _write(fd: int, text: bytes) -> None:
    """Unbuffered: what is followed is seen at once, and on one terminal both streams stay in order."""
    while text:
        try:
            text = text[os.write(fd, text) :]
        except BlockingIOError:  # who shares it with us has made it so
            import select

            select.select([], [fd], [])


def _tail(text: str) -> int:
    """Return how many lines, -1 for all: docker takes any text that is no number for "all"."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _instant(text: str | None) -> int | None:
    if not text:
        return None
    from pyrun.cli.times import parse_instant

    return parse_instant(text)
