"""The options that the verbs of `pyrun registry` share: how a registry is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import text, tls_verify
from pyrun.engine.remote import Access

if TYPE_CHECKING:
    import click


def access_options() -> list[click.Option]:
    """Define them."""
    return [text("--authfile", "Use the credentials of this file", metavar="path"), tls_verify()]


def creds_option() -> click.Option:
    """Define the option of those verbs that ask one registry alone."""
    return text("--creds", "User and password for this registry, as USER:PASSWORD", metavar="user:password")


def access_of(params: dict[str, Any]) -> Access:
    """Read them; docker's ``--insecure`` is podman's ``--tls-verify=false``."""
    tls_verify = False if params.get("insecure") else params["tls_verify"]
    return Access(params["authfile"] or "", tls_verify, params.get("creds") or "")
