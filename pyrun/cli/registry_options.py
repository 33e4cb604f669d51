"""The options that the verbs of `pyrun registry` share: how a registry is reached."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import cert_dir, text, tls_verify
from pyrun.engine.remote import Access
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    from pyrun.store.layout import Layout


def access_options() -> list[click.Option]:
    """Define them."""
    return [text("--authfile", "Use the credentials of this file", metavar="path"), cert_dir(), tls_verify()]


def creds_option() -> click.Option:
    """Define the option of those verbs that ask one registry alone."""
    return text("--creds", "User and password for this registry, as USER:PASSWORD", metavar="user:password")


def access_of(params: dict[str, Any]) -> Access:
    """Read them; docker's ``--insecure`` is podman's ``--tls-verify=false``."""
    tls_verify = False if params.get("insecure") else params["tls_verify"]
    return Access(params["authfile"] or "", tls_verify, params.get("creds") or "", params["cert_dir"] or "")


def sign_options() -> list[click.Option]:
    """Define podman's options of those verbs that sign what they have pushed."""
    return [
        text("--sign-by-sigstore-private-key", "Sign what was pushed with this cosign key", metavar="file"),
        text(
            "--sign-passphrase-file",
            "Read the passphrase of the key from a file (else: $COSIGN_PASSWORD, or it is asked for)",
            metavar="file",
        ),
    ]


def signer_of(params: dict[str, Any], layout: Layout) -> Callable[[str, str], None] | None:
    """Read the key before anything is pushed; return what signs a digest under a name, or None without a key."""
    if not params["sign_by_sigstore_private_key"]:
        if params["sign_passphrase_file"]:
            raise InvalidInputError("a passphrase file was given, but no --sign-by-sigstore-private-key")
        return None
    from pyrun.cli import passphrase
    from pyrun.engine.signing import load_key, sign

    key = load_key(params["sign_by_sigstore_private_key"], lambda: passphrase.read(params["sign_passphrase_file"]))
    access = access_of(params)

    def sign_pushed(name: str, digest: str) -> None:
        at = f"{name.rpartition(':')[0]}@{digest}"
        for signed in sign(layout, at, key, access, identity=name, recursive=True).signed:
            if not signed.was_there and not params["quiet"]:
                print(f"Pushed signature to: {signed.where}", file=sys.stderr, flush=True)

    return sign_pushed
