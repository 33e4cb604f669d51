"""`pyrun manifest remove`: take an entry out of a manifest list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "remove", execute, usage="MANIFEST_LIST IMAGE|DIGEST", summary="Remove an entry from a local manifest list",
        params=[argument("list"), argument("image")],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove it, and print the list's digest."""
    from pyrun.engine.manifest_list import remove

    print(remove(session.layout, params["list"], params["image"]))
    return 0
