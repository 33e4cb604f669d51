"""`pyrun image inspect`: docker's JSON of images. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, text

    return Verb(
        "image-inspect", execute, usage="IMAGE [IMAGE...]",
        summary="Display detailed information on one or more images",
        params=[
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
            text("--platform", "Inspect a specific platform of the multi-platform image"),
            argument("names", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one JSON list."""
    from pyrun.cli.inspect import show
    from pyrun.engine import image_inspect as engine

    def look(name: str) -> dict[str, Any]:
        return engine.image_inspect(session.layout, name, platform=params["platform"])

    return show(params["names"], params["format"], [look])
