"""`pyrun logout`: forget a registry's credential."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, text
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "logout", execute, usage="[SERVER]", summary="Log out from a registry",
        params=[
            flag("-a --all", "Remove the credentials of all registries"),
            text("--authfile", "Remove them from this file (default: $REGISTRY_AUTH_FILE, or docker's config.json)"),
            argument("server", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Forget it, and say whether there was one."""
    from pyrun.engine.login import Registry, log_out_everywhere

    authfile = params["authfile"] or ""
    if params["all"]:
        if params["server"]:
            raise InvalidInputError("conflicting options: --all and a registry")
        log_out_everywhere(authfile=authfile)
        print("Removed login credentials for all registries")
        return 0
    done = Registry(params["server"] or "", authfile=authfile).log_out()
    said = "Removing login credentials for" if done.was_known else "Not logged in to"
    print(f"{said} {done.shown}")
    for file in done.elsewhere:
        print(f"{file} has credentials for it still: remove them with --authfile {file}", file=sys.stderr)
    return 0
