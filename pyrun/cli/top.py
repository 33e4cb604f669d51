"""`pyrun top`: the processes of a container."""

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
