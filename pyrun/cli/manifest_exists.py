"""`pyrun manifest exists`: an exit code for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "exists", execute, usage="MANIFEST_LIST", summary="Tell by the exit code whether there is such a manifest list",
        params=[argument("list")],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Return 0 or 1, say nothing."""
    from pyrun.engine.manifest_push import exists

    return 0 if exists(session.layout, params["list"]) else 1
