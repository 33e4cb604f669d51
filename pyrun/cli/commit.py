"""`pyrun commit`: a new image from a container's changes."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, many, text

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "commit", execute, usage="CONTAINER [REPOSITORY[:TAG]]",
        summary="Create a new image from a container's changes",
        params=[
            text("-a --author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', default=""),
            many("-c --change", "Apply Dockerfile instruction to the created image"),
            text("-m --message", "Commit message", default=""),
            flag("--no-pause", "Do not pause the container during commit"),
            flag("-p --pause", "Pause container during commit", default=True),
            argument("container"),
            argument("reference", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print the new image's id."""
    from pyrun.engine.commit import Options, commit

    options = Options(
        reference=params["reference"] or "",
        author=params["author"],
        message=params["message"],
        changes=params["change"],
        pause=params["pause"] and not params["no_pause"],
    )
    # Else a paused container would stay so.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    print(commit(session.layout, params["container"], options))
    return 0
