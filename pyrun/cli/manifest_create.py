"""`pyrun manifest create`: begin a manifest list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag
from pyrun.cli.registry_options import access_of, access_options, creds_option

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "create", execute, usage="MANIFEST_LIST [MANIFEST...]", summary="Create a local manifest list",
        params=[
            flag("--all", "Add all images of an image that is an index itself"),
            flag("-a --amend", "Amend an existing manifest list"),
            flag("--insecure", "As --tls-verify=false"),
            creds_option(),
            *access_options(),
            argument("list"),
            argument("images", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Create it, in docker's words."""
    from pyrun.engine.manifest_list import create

    name = create(
        session.layout, params["list"], params["images"], access_of(params), amend=params["amend"],
        all_platforms=params["all"],
    )  # fmt: skip
    print(f"Created manifest list {name}")
    return 0
