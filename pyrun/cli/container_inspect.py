"""`pyrun container inspect`: docker's JSON of containers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "inspect", execute, usage="CONTAINER [CONTAINER...]",
        summary="Display detailed information on one or more containers",
        params=[
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
            flag("-s --size", "Display total file sizes"),
            argument("names", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one JSON list."""
    from pyrun.cli.inspect import show
    from pyrun.engine import inspect as engine

    def look_up(name: str) -> dict[str, Any]:
        return engine.inspect(session.layout, name, with_size=params["size"])

    return show(params["names"], params["format"], [look_up])
