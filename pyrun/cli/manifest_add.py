"""`pyrun manifest add`: add images to a manifest list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag
from pyrun.cli.manifest_options import mark_options, marks_of
from pyrun.cli.registry_options import access_of, access_options, creds_option

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "add", execute, usage="MANIFEST_LIST IMAGE [IMAGE...]",
        summary="Add images, of this store or of a registry, to a manifest list",
        params=[
            flag("--all", "Add all images of an image that is an index itself"),
            *mark_options(),
            creds_option(),
            *access_options(),
            argument("list"),
            argument("images", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Add them, and print the list's digest."""
    from pyrun.engine.manifest_list import add

    digest = add(
        session.layout, params["list"], params["images"], access_of(params), marks_of(params),
        all_platforms=params["all"],
    )  # fmt: skip
    print(digest)
    return 0
