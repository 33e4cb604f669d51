"""`pyrun rm`: remove containers, print their names as given. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, unsupported

    return Verb(
        "rm", execute, usage="CONTAINER [CONTAINER...]", summary="Remove one or more containers",
        params=[
            flag("-f --force", "Force the removal of a running container (uses SIGKILL)"),
            flag("-v --volumes", "Remove anonymous volumes associated with the container"),
            *unsupported("-l/--link", ""),
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove each container."""
    from pyrun.cli.each import for_each
    from pyrun.engine import rm
    from pyrun.errors import ContainerNotFoundError

    force, volumes = params["force"], params["volumes"]
    return for_each(
        params["containers"],
        lambda name: rm.remove(session.layout, name, force, volumes),
        forgiven=ContainerNotFoundError if force else None,
    )
