"""`pyrun kill`: signal containers, print their names as given. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, text

    return Verb(
        "kill", execute, usage="CONTAINER [CONTAINER...]", summary="Kill one or more running containers",
        params=[
            text("-s --signal", "Signal to send to the container", default="KILL"),
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Signal each container."""
    from pyrun.cli.each import show
    from pyrun.engine import kill

    names = params["containers"]
    return show(kill.kill_all(session.layout, names, params["signal"]), len(names))
