"""`pyrun registry copy`: an image from registry to registry, byte for byte, without a local copy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli import digest_file
from pyrun.cli.definitions import Verb, argument, flag, text
from pyrun.cli.registry_options import access_of, access_options, creds_option
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session

_WORDS = {"existed": "already exists", "mounted": "mounted", "pushed": "copied"}


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "copy", execute, usage="SOURCE DESTINATION [DESTINATION...]",
        summary="Copy an image from a registry to others, byte for byte",
        params=[
            flag("-a --all", "Copy the whole index, all platforms"),
            text("--digestfile", "Write the digest of the copy to this file", metavar="path"),
            text("--platform", "Copy the image for this platform, if there are several"),
            flag("-q --quiet", "Suppress verbose output"),
            creds_option(),
            text("--src-creds", "As --creds, for the source", metavar="user:password"),
            text("--src-cert-dir", "As --cert-dir, for the source", metavar="directory"),
            text("--src-authfile", "Use the credentials of this file for the source", metavar="path"),
            flag("--src-tls-verify", "As --tls-verify, for the source", default=None),
            *access_options(),
            argument("source"),
            argument("destinations", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Copy, and print the digest."""
    from pyrun.engine.remote import Access, require_one_registry
    from pyrun.engine.remote_copy import copy

    if not params["destinations"]:
        raise InvalidInputError("copy: no destination", hint="registry copy SOURCE DESTINATION [DESTINATION...]")
    access = access_of(params)
    insecure = params["src_tls_verify"] if params["src_tls_verify"] is not None else access.tls_verify
    source = Access(
        params["src_authfile"] or access.authfile, insecure, params["src_creds"] or "",
        params["src_cert_dir"] or access.cert_dir,
    )  # fmt: skip
    require_one_registry(params["destinations"], access)

    def hear(what: str, label: str) -> None:
        print(f"{label}: {_WORDS[what]}", file=sys.stderr, flush=True)

    digest = copy(
        params["source"], list(params["destinations"]), source_access=source, access=access,
        platform=params["platform"] or "", all_platforms=params["all"], hear=None if params["quiet"] else hear,
    )  # fmt: skip
    if params["digestfile"]:
        digest_file.write(params["digestfile"], digest)
    print(digest)
    return 0
