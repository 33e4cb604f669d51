"""`pyrun save`: images as an archive."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, text
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "save", execute, usage="IMAGE [IMAGE...]",
        summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
        params=[
            flag("--compress", "With --format docker-dir: compress layers that are not"),
            text("--format", "docker-archive, oci-archive, oci-dir or docker-dir", default="docker-archive"),
            flag("-m --multi-image-archive", "Take further arguments as images, not as tags: always so, as in docker"),
            text("-o --output", "Write to a file (or directory), instead of STDOUT"),
            text("--platform", 'Save only the given platform (e.g., "linux/amd64")'),
            flag("-q --quiet", "Say nothing besides: always so, as in docker"),
            flag("--uncompressed", "Accept uncompressed layers: always so, they are saved as they were pulled"),
            argument("images", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Save; docker says nothing then."""
    from pyrun.engine.save import DIRECTORIES, Options, save

    output = params["output"] or ""
    if not output and params["format"] not in DIRECTORIES and sys.stdout.isatty():
        raise InvalidInputError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    # Else what is half written would stay.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    directory = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(directory):
        raise InvalidInputError(f'failed to save image: invalid output path: directory "{directory}" does not exist')
    options = Options(
        format=params["format"], output=output, output_fd=sys.stdout.fileno(), platform=params["platform"],
        compress=params["compress"],
    )  # fmt: skip
    save(session.layout, params["images"], options)
    return 0
