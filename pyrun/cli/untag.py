"""`pyrun untag`: take names from an image. HOT."""

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
        "untag", execute, usage="IMAGE [NAME...]",
        summary="Remove one or more names from an image, or all; the image stays",
        params=[argument("image"), argument("names", required=False, rest=True)],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Untag; podman says nothing then."""
    from pyrun.engine.untag import untag

    untag(session.layout, params["image"], params["names"])
    return 0
