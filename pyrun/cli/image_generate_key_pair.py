"""`pyrun image generate-key-pair`: cosign's key pair, to sign images with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, text

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-generate-key-pair", execute, usage="", summary="Make a key pair to sign images with (cosign's form)",
        params=[
            text("--output-key-prefix", "Name of the files, without .key and .pub", default="cosign", metavar="path"),
            text("--sign-passphrase-file --passphrase-file", "Read the passphrase of the key from a file "
                 "(else: $COSIGN_PASSWORD, or it is asked for)", metavar="file"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Make the files; say where they are."""
    from pyrun.cli import passphrase
    from pyrun.engine import key_pair

    key_pair.check_free(params["output_key_prefix"])
    secret = passphrase.read(params["passphrase_file"], is_new=True)
    private, public = key_pair.generate(params["output_key_prefix"], secret)
    print(f"Private key written to {private}", f"Public key written to {public}", sep="\n", file=sys.stderr)
    return 0
