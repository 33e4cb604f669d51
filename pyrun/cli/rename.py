"""`pyrun rename`: give a container another name. HOT."""

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
        "rename", execute, usage="CONTAINER NEW_NAME", summary="Rename a container",
        params=[
            argument("container"),
            argument("new_name"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Rename it, silently."""
    from pyrun.engine import rename

    rename.rename(session.layout, params["container"], params["new_name"])
    return 0
