"""`pyrun volume rm`: remove volumes that no container mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "rm", execute, usage="VOLUME [VOLUME...]", summary="Remove one or more volumes",
        params=[
            flag("-f --force", "Force the removal of one or more volumes"),
            argument("volumes", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove each volume, print its name."""
    from pyrun.cli.each import for_each
    from pyrun.engine.volumes import remove_volume

    return for_each(params["volumes"], lambda name: remove_volume(session.layout, name, force=params["force"]))
