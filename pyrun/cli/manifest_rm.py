"""`pyrun manifest rm`: forget manifest lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "rm", execute, usage="MANIFEST_LIST [MANIFEST_LIST...]", summary="Delete one or more local manifest lists",
        params=[argument("lists", rest=True)],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove each, and print its whole name."""
    from pyrun.cli.each import for_each
    from pyrun.engine.manifest_push import rm

    return for_each(params["lists"], lambda name: rm(session.layout, name), prints_result=True)
