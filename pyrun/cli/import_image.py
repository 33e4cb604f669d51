"""`pyrun import`: an image from a root file system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, many, platform_parts, text
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "import", execute, usage="file|URL|- [REPOSITORY[:TAG]]",
        summary="Import the contents from a tarball to create a filesystem image",
        params=[
            many("-c --change", "Apply Dockerfile instruction to the created image"),
            text("-m --message", "Set commit message for imported image", default=""),
            *platform_parts(),
            text("--platform", "Set platform of the image"),
            flag("-q --quiet", "Print the id alone: always so, as in docker"),
            argument("source"),
            argument("reference", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print the new image's id."""
    from pyrun.engine.import_image import STDIN, Options, import_image
    from pyrun.oci.platform import from_parts

    source = params["source"]
    if source == STDIN and os.isatty(0):
        raise InvalidInputError("refusing to read an archive from a terminal", hint="`pyrun import - < FILE`")
    options = Options(
        reference=params["reference"] or "", message=params["message"], changes=params["change"],
        platform=from_parts(params["platform"], params["os"], params["arch"], params["variant"]),
    )  # fmt: skip
    print(import_image(session.layout, source, options))
    return 0
