"""`pyrun rm`: remove containers, print their names as given. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, integer, unsupported

    return Verb(
        "rm", execute, usage="CONTAINER [CONTAINER...]", summary="Remove one or more containers",
        params=[
            flag("-a --all", "Remove all containers"),
            flag("--depend", "Remove also the containers that share namespaces of these"),
            flag("-f --force", "Force the removal of a running container (uses SIGKILL)"),
            integer("-t --time", "With --force: seconds to wait for the end of a container before killing it"),
            flag("-v --volumes", "Remove anonymous volumes associated with the container"),
            *unsupported("-l/--link", ""),
            argument("containers", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove each container."""
    from pyrun.cli.each import show
    from pyrun.engine import rm
    from pyrun.errors import ContainerNotFoundError, InvalidInputError

    names, force, seconds = params["containers"], params["force"], params["time"]
    if not names and not params["all"]:
        raise InvalidInputError("'pyrun rm' requires at least 1 argument", hint="see `pyrun rm --help`")
    if names and params["all"]:
        raise InvalidInputError("--all takes no containers: leave out the names, or --all")
    if seconds is not None and not force:
        raise InvalidInputError("--time needs --force", hint="without --force nothing is stopped")
    if params["all"]:
        names = rm.all_names(session.layout)
    if params["depend"]:
        names = rm.with_dependents(session.layout, names)
    outcomes = rm.remove_all(session.layout, names, force, params["volumes"], seconds)
    return show(outcomes, len(names), forgiven=ContainerNotFoundError if force else None)
