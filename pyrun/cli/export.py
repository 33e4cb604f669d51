"""`pyrun export`: a container's files as a tar archive."""

from __future__ import annotations

import os
import sys

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, text

    return Verb(
        "export", execute, usage="CONTAINER", summary="Export a container's filesystem as a tar archive",
        params=[
            text("-o --output", "Write to a file, instead of STDOUT"),
            argument("container"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Write the archive; docker says nothing then."""
    from pyrun.engine import export

    output = params["output"]
    if not output and sys.stdout.isatty():
        raise InvalidInputError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if not output:
        export.export(session.layout, params["container"], sys.stdout.fileno())
        return 0
    directory = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(directory):
        raise InvalidInputError(
            f'failed to export container: invalid output path: directory "{directory}" does not exist'
        )
    export.export_to_file(session.layout, params["container"], output)
    return 0
