"""`pyrun load`: images from an archive."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, flag, signature_policy, text
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "load", execute, summary="Load an image from a tar archive or STDIN",
        params=[
            text("-i --input", "Read from a tar archive file or a directory, instead of STDIN"),
            text("--platform", 'Load only the given platform (e.g., "linux/amd64")'),
            flag("-q --quiet", "Suppress the load output"),
            signature_policy(),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Load; print docker's line for each name, or for the id of an image without one."""
    from pyrun.cli.progress import bars_on
    from pyrun.engine.load import load
    from pyrun.oci.reference import parse_normalized

    path = params["input"] or ""
    if not path and os.isatty(0):
        raise InvalidInputError(
            "requested load from stdin, but stdin is empty", hint="`pyrun load -i FILE`, or `pyrun load < FILE`"
        )
    is_shown = sys.stdout.isatty() and not params["quiet"]
    shown = bars_on(sys.stdout, "Loading layer", "Loaded") if is_shown else nullcontext()
    with shown as progress:
        found = load(
            session.layout, path, platform=params["platform"], progress=progress,
            signature_policy=params["signature_policy"],
        )  # fmt: skip
    for image in found:
        for name, old in image.renamed:
            moved = parse_normalized(name).familiar
            print(f"The image {moved} already exists, renaming the old one with ID {old} to empty string")
        for name in image.names:
            print(f"Loaded image: {parse_normalized(name).familiar}")
        if not image.names:
            print(f"Loaded image ID: {image.image_id}")
    return 0
