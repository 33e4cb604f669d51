"""`pyrun tag`: give an image another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
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
