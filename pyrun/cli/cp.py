"""`pyrun cp`: files and folders between a container and the local file system, or a tar archive to or from it."""

from __future__ import annotations

import sys

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.cp import Copied


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag

    return Verb(
        "cp", execute, usage="CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
        summary="Copy files/folders between a container and the local filesystem",
        params=[
            flag("-a --archive", "Archive mode (copy all uid/gid information)"),
            flag("-L --follow-link", "Always follow symlinks in SRC_PATH"),
            flag("-q --quiet", "Suppress the summary; it is suppressed if stdout is no terminal", default=None),
            argument("source"),
            argument("target"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Copy, and say how much where somebody is looking."""
    from pyrun.engine import cp
    from pyrun.engine.cp_paths import split_argument

    source, target = params["source"], params["target"]
    if not source or not target:
        raise InvalidInputError(f"{'destination' if source else 'source'} can not be empty")
    options = cp.Options(archive=params["archive"], follow=params["follow_link"])
    (giver, path), (taker, goal) = split_argument(source), split_argument(target)
    if giver and taker:
        raise InvalidInputError("copying between containers is not supported")
    if not giver and not taker:
        raise InvalidInputError("must specify at least one container source")
    if giver and goal == "-":
        cp.archive_of(session.layout, giver, path, sys.stdout.fileno(), options)
        return 0
    if path == "-" and taker:
        cp.extract(session.layout, taker, goal, sys.stdin.fileno(), options)
        return 0
    if giver:
        copied = cp.copy_from(session.layout, giver, path, goal, options)
    else:
        copied = cp.copy_to(session.layout, path, taker, goal, options)
        copied.target = f"{taker}:{copied.target}"
    is_quiet = not sys.stdout.isatty() if params["quiet"] is None else params["quiet"]
    if not is_quiet:
        print(_summary(copied), file=sys.stderr)
    return 0


def _summary(copied: Copied) -> str:
    from pyrun.cli.text import human_size

    sent = human_size(copied.archive_bytes)
    if copied.content_bytes < 0 or copied.content_bytes == copied.archive_bytes:
        return f"Successfully copied {sent} to {copied.target}"
    return f"Successfully copied {human_size(copied.content_bytes)} (transferred {sent}) to {copied.target}"
