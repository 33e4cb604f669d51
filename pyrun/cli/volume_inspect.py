"""`pyrun volume inspect`: docker's JSON of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, text

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "inspect", execute, usage="VOLUME [VOLUME...]",
        summary="Display detailed information on one or more volumes",
        params=[
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
            argument("names", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one JSON list."""
    from pyrun.cli.inspect import show
    from pyrun.engine.volumes import inspect_volume

    return show(params["names"], params["format"], [lambda name: inspect_volume(session.layout, name)])
