"""`pyrun registry inspect`: what a registry has under a name, without pulling it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, text
from pyrun.cli.registry_options import access_of, access_options, creds_option
from pyrun.cli.text import json_text
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "inspect", execute, usage="NAME[:TAG|@DIGEST]",
        summary="Show an image of a registry: digest, platforms, configuration, layers",
        params=[
            flag("--config", "Show the image's configuration, as it is with --raw"),
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
            flag("-n --no-tags", "Do not list the repository's tags"),
            text("--platform", "Show the image for this platform, if there are several"),
            flag("--raw", "Write the manifest's or index's own bytes"),
            creds_option(),
            *access_options(),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one JSON document, or the bytes as they are."""
    from pyrun.cli.formatting import show_document
    from pyrun.engine import remote_inspect as engine

    if params["raw"] and params["format"]:
        raise InvalidInputError("conflicting options: --raw and --format")
    if params["raw"] and not params["config"] and not params["platform"]:
        return _write(engine.raw(params["image"], access_of(params)))
    with_tags = not (params["no_tags"] or params["config"] or params["raw"])
    found = engine.inspect(
        params["image"], access_of(params), platform=params["platform"] or "", with_tags=with_tags
    )  # fmt: skip
    if params["raw"]:
        return _write(engine.config_bytes(found) if params["config"] else found.chosen)
    document = engine.config_document(found) if params["config"] else found.shown
    if params["format"]:
        return show_document(params["format"], document)
    print(json_text(document))
    return 0


def _write(data: bytes) -> int:
    sys.stdout.buffer.write(data)
    return 0
