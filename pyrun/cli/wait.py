"""`pyrun wait`: wait for containers to end, print their exit codes. HOT."""

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
        "wait", execute, usage="CONTAINER [CONTAINER...]",
        summary="Block until one or more containers stop, then print their exit codes",
        params=[
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Wait for each container in turn."""
    from pyrun.cli.each import for_each
    from pyrun.engine import wait

    return for_each(params["containers"], lambda name: wait.wait(session.layout, name), prints_result=True)
