"""`pyrun restart`: stop and start containers, print their names as given. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, integer, text

    return Verb(
        "restart", execute, usage="CONTAINER [CONTAINER...]", summary="Restart one or more containers",
        params=[
            text("-s --signal", "Signal to send to the container"),
            integer("-t --time --timeout", "Seconds to wait before killing the container"),
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Restart each container."""
    from pyrun.cli.each import show
    from pyrun.engine import restart

    names = params["containers"]
    return show(restart.restart_all(session.layout, names, params["timeout"], params["signal"]), len(names))
