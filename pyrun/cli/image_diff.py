"""`pyrun image diff`: which files make an image differ from another; podman's verb."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, text
from pyrun.cli.text import for_terminal
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session

_WORDS = {"A": "added", "C": "changed", "D": "deleted"}


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-diff", execute, usage="IMAGE [IMAGE]",
        summary="List the files in which an image differs from a second one, or from what is below its highest layer",
        params=[
            text("--format", "Change the output format (json)"),
            argument("image"),
            argument("base", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print a line for each change."""
    from pyrun.engine.image_diff import image_diff

    if params["format"] not in (None, "json"):
        raise InvalidInputError(f"unknown --format argument: {params['format']!r}", hint="it is json")
    changes = image_diff(session.layout, params["image"], params["base"])
    if params["format"]:
        import json

        found: dict[str, list[str]] = {}
        for change in changes:
            found.setdefault(_WORDS[change.kind], []).append(change.path)
        print(json.dumps(dict(sorted(found.items(), key=lambda item: list(_WORDS.values()).index(item[0]))), indent=4))
        return 0
    sys.stdout.buffer.writelines(
        f"{change.kind} {for_terminal(change.path)}\n".encode("utf-8", "surrogateescape") for change in changes
    )
    return 0
