"""`pyrun logout`: forget a registry's credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "logout", execute, usage="[SERVER]", summary="Log out from a registry",
        params=[
            argument("server", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Forget it, and say whether there was one."""
    from pyrun.cli.login import DEFAULT_SERVER
    from pyrun.engine.login import logout

    server = params["server"] or DEFAULT_SERVER
    known = logout(server)
    print(f"Removing login credentials for {server}" if known else f"Not logged in to {server}")
    return 0
