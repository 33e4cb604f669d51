"""`pyrun manifest annotate`: let an entry of a manifest list say something else of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument
from pyrun.cli.manifest_options import mark_options, marks_of

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "annotate", execute, usage="MANIFEST_LIST IMAGE|DIGEST",
        summary="Add additional information to an entry of a local manifest list",
        params=[*mark_options(), argument("list"), argument("image")],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Change it; docker says nothing then."""
    from pyrun.engine.manifest_list import annotate

    annotate(session.layout, params["list"], params["image"], marks_of(params))
    return 0
