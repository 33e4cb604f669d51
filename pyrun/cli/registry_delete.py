"""`pyrun registry delete`: forget an image at its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument
from pyrun.cli.registry_options import access_of, access_options, creds_option

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "delete", execute, usage="NAME[:TAG|@DIGEST] [NAME[:TAG|@DIGEST]...]",
        summary="Delete images, with every tag that points to them, from their registry",
        params=[creds_option(), *access_options(), argument("images", rest=True)],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Delete each, and print the digest that went."""
    from pyrun.cli.each import for_each
    from pyrun.engine.remote import require_one_registry
    from pyrun.engine.remote_delete import delete

    access = access_of(params)
    require_one_registry(params["images"], access)
    return for_each(params["images"], lambda name: delete(name, access), prints_result=True)
