"""`pyrun start`: start stopped containers, attached to one of them if asked. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text, unsupported

    return Verb(
        "start", execute, usage="CONTAINER [CONTAINER...]", summary="Start one or more stopped containers",
        params=[
            flag("-a --attach", "Attach STDOUT/STDERR and forward signals"),
            text("--detach-keys", "Override the key sequence for detaching a container"),
            flag("-i --interactive", "Attach container's STDIN"),
            *unsupported("", "--checkpoint --checkpoint-dir"),
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Start the containers and print their names, or be attached to one and answer its exit code."""
    from pyrun.engine import start

    names = params["containers"]
    attached = params["attach"] or params["interactive"]
    if attached:
        if len(names) > 1:
            from pyrun.errors import InvalidInputError

            raise InvalidInputError("you cannot start and attach multiple containers at once")
        code = start.start(
            session.layout, names[0], attached=True, interactive=params["interactive"],
            detach_keys=params["detach_keys"],
        )  # fmt: skip
        return code or 0
    from pyrun.cli.each import for_each

    return for_each(names, lambda name: start.start(session.layout, name))
