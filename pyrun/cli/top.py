"""`pyrun top`: the processes of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "top", execute, usage="CONTAINER [ps OPTIONS]", summary="Display the running processes of a container",
        interspersed=False,
        params=[
            argument("container"),
            argument("options", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print ps's columns."""
    from pyrun.cli import text
    from pyrun.engine import top

    rows = top.top(session.layout, params["container"], params["options"])
    print(text.columns(rows, least=20))
    return 0
