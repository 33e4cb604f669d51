"""`pyrun registry catalog`: the repositories of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, text
from pyrun.cli.registry_options import access_of, access_options, creds_option

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "catalog", execute, usage="REGISTRY", summary="List the repositories of a registry that tells them",
        params=[
            text("--format", "Format output using a custom template: json or TEMPLATE"),
            creds_option(),
            *access_options(),
            argument("registry"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print a name on each line, or one JSON document."""
    from pyrun.cli.formatting import show_document
    from pyrun.engine.remote_listing import catalog

    registry, found = catalog(params["registry"], access_of(params))
    if params["format"]:
        return show_document(params["format"], {"Registry": registry, "Repositories": list(found)})
    for name in found:
        print(name)
    return 0
