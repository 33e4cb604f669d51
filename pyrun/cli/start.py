"""`pyrun start`: start stopped containers, attached to one of them if asked. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, many, text, unsupported

    return Verb(
        "start", execute, usage="CONTAINER [CONTAINER...]", summary="Start one or more stopped containers",
        params=[
            flag("--all", "Start all containers, or those that the filters select"),
            flag("-a --attach", "Attach STDOUT/STDERR and forward signals"),
            text("--detach-keys", "Override the key sequence for detaching a container"),
            many("-f --filter", "With --all: start only containers that meet conditions", metavar="filter"),
            flag("-i --interactive", "Attach container's STDIN"),
            *unsupported("", "--checkpoint --checkpoint-dir"),
            argument("containers", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Start the containers and print their names, or be attached to one and answer its exit code."""
    from pyrun.engine import start

    names = params["containers"]
    if params["all"] or params["filter"] or not names:
        names = _selected(session, params)
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


def _selected(session: Session, params: dict[str, Any]) -> list[str]:
    from pyrun.engine import start
    from pyrun.errors import InvalidInputError

    if not params["all"]:
        wrong = "--filter needs --all" if params["filter"] else "'pyrun start' requires at least 1 argument"
        raise InvalidInputError(wrong)
    if params["containers"]:
        raise InvalidInputError("either start all containers or the container(s) provided in the arguments")
    if params["attach"] or params["interactive"]:
        raise InvalidInputError("you cannot start and attach multiple containers at once")
    return start.selected(session.layout, params["filter"])
