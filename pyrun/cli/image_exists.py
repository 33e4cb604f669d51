"""`pyrun image exists`: the answer is the exit code, 0 or 1. HOT."""

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
        "image-exists", execute, usage="IMAGE", summary="Check whether an image exists here: exit code 0 or 1",
        params=[argument("image")],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Look for the image; other failures are told as ever, with 125."""
    from pyrun.engine.images import exists
    from pyrun.errors import PyrunError

    try:
        return 0 if exists(session.layout, params["image"]) else 1
    except PyrunError as error:  # podman: 1 is an answer, so whatever failed is 125
        from pyrun.cli.errors import report

        report(error, verb=session.verb, debug=bool(session.debug))
        return 125
