"""`pyrun tag`: give an image another name. HOT."""

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
        "tag", execute, usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        params=[
            argument("source"),
            argument("target"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Tag; docker says nothing then."""
    from pyrun.engine.tag import tag

    tag(session.layout, params["source"], params["target"])
    return 0
