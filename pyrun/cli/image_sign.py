"""`pyrun image sign`: put a signature beside an image in its registry, as cosign does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, text, unsupported
from pyrun.cli.registry_options import access_of, access_options, creds_option
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-sign", execute, usage="IMAGE", summary="Sign an image in its registry with a cosign key",
        params=[
            text("--key", "Private key (cosign.key)", metavar="file"),
            text("--sign-passphrase-file --passphrase-file", "Read the passphrase of the key from a file "
                 "(else: $COSIGN_PASSWORD, or it is asked for)", metavar="file"),
            flag("-a --all -r --recursive", "If it is an index, sign each platform's manifest too"),
            text("--sign-identity", "Sign for this name instead of IMAGE", metavar="NAME:TAG"),
            creds_option(),
            *access_options(),
            *unsupported("", "-d/--directory --sign-by"),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Sign; print where each signature is."""
    if not params["key"]:
        raise InvalidInputError(
            "no key to sign with", hint="--key cosign.key; `pyrun image generate-key-pair` makes one"
        )
    from pyrun.cli import passphrase
    from pyrun.engine.signing import load_key, sign

    key = load_key(params["key"], lambda: passphrase.read(params["passphrase_file"]))
    result = sign(
        session.layout, params["image"], key, access_of(params), identity=params["sign_identity"] or "",
        recursive=params["recursive"],
    )  # fmt: skip
    for signed in result.signed:
        if signed.was_there:
            print(f"Already signed with this key: {signed.digest}", file=sys.stderr)
        else:
            print(f"Pushed signature to: {signed.where}", file=sys.stderr)
    if result.unsigned_platforms:
        print(
            "Note: it is an index. A policy judges the manifest of the platform that runs: --recursive signs them too.",
            file=sys.stderr,
        )
    for signed in result.signed:
        print(f"{result.reference.name}@{signed.digest}")
    return 0
