"""`pyrun registry ls`: the tags of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, text
from pyrun.cli.registry_options import access_of, access_options, creds_option

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "ls", execute, usage="REPOSITORY", summary="List the tags of a repository",
        params=[
            text("--format", "Format output using a custom template: json or TEMPLATE"),
            creds_option(),
            *access_options(),
            argument("repository"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print a tag on each line, or one JSON document."""
    from pyrun.cli.formatting import show_document
    from pyrun.engine.remote_listing import tags

    name, found = tags(params["repository"], access_of(params))
    if params["format"]:
        return show_document(params["format"], {"Repository": name, "Tags": list(found)})
    for tag in found:
        print(tag)
    return 0
