"""`pyrun diff`: what a container has changed of its image's files."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument

    return Verb(
        "diff", execute, usage="CONTAINER",
        summary="Inspect changes to files or directories on a container's filesystem",
        params=[argument("container")],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print a line for each change."""
    from pyrun.cli.text import for_terminal
    from pyrun.engine.diff import diff

    changes = diff(session.layout, params["container"])
    sys.stdout.buffer.writelines(
        f"{change.kind} {for_terminal(change.path)}\n".encode("utf-8", "surrogateescape") for change in changes
    )
    return 0
