"""`pyrun update`: change the configuration of containers, print their names as given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, text, unsupported

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "update", execute, usage="CONTAINER [CONTAINER...]", summary="Update configuration of one or more containers",
        params=[
            text("--restart", "Restart policy to apply when a container exits"),
            *unsupported(
                "",
                "--blkio-weight --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime -c/--cpu-shares --cpus "
                "--cpuset-cpus --cpuset-mems --kernel-memory -m/--memory --memory-reservation --memory-swap "
                "--pids-limit",
            ),
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Update each container."""
    from pyrun.cli.each import for_each
    from pyrun.engine import restart_policy, update
    from pyrun.errors import InvalidInputError

    if params["restart"] is None:
        raise InvalidInputError("you must provide one or more flags when using this command")
    policy = restart_policy.parse(params["restart"])

    def act(name: str) -> None:
        warning = update.update(session.layout, name, policy)
        if warning:
            print(f"pyrun: warning: {warning}", file=sys.stderr)

    return for_each(params["containers"], act)
