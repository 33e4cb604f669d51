"""`pyrun unpause`: continue all processes of containers, print their names as given. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument

    return Verb(
        "unpause", execute, usage="CONTAINER [CONTAINER...]",
        summary="Unpause all processes within one or more containers",
        params=[
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Unpause each container."""
    from pyrun.cli.each import for_each
    from pyrun.engine import pause

    return for_each(params["containers"], lambda name: pause.unpause(session.layout, name))
