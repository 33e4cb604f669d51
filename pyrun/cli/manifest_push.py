"""`pyrun manifest push`: send a manifest list, and the images that it names, to a registry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli import digest_file
from pyrun.cli.definitions import Verb, argument, flag, text, unsupported
from pyrun.cli.registry_options import access_of, access_options, creds_option, sign_options, signer_of
from pyrun.oci import reference as references

if TYPE_CHECKING:
    from pyrun.cli.main import Session

_WORDS = {"existed": "already exists", "mounted": "mounted", "pushed": "pushed"}


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "push", execute, usage="MANIFEST_LIST [DESTINATION]", summary="Push a manifest list to a repository",
        params=[
            flag("--all", "Push the images that the list names, too; =false: they must be there", default=True),
            text("--digestfile", "Write the digest of the list to this file", metavar="path"),
            text("-f --format", "The list's type: oci or v2s2 (default: docker's where all its images are docker's)"),
            flag("--insecure", "As --tls-verify=false"),
            flag("-p --rm --purge", "Remove the local manifest list after push"),
            flag("-q --quiet", "Suppress verbose output"),
            creds_option(),
            *access_options(),
            *sign_options(),
            flag("--remove-signatures", "Push no signatures that the images have (none is, ever)"),
            *unsupported("", "--compression-format --sign-by"),
            argument("list"),
            argument("destination", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Push, and print the digest, as docker."""
    from pyrun.engine.manifest_push import push

    def hear(what: str, label: str) -> None:
        print(f"{label}: {_WORDS[what]}", file=sys.stderr, flush=True)

    sign = signer_of(params, session.layout)
    digest = push(
        session.layout, params["list"], params["destination"] or "", access_of(params), kind=params["format"] or "",
        with_images=params["all"], purge=params["purge"], hear=None if params["quiet"] else hear,
    )  # fmt: skip
    if params["digestfile"]:
        digest_file.write(params["digestfile"], digest)
    print(digest)
    if sign is not None:
        name = (params["destination"] or params["list"]).removeprefix("docker://")
        sign(references.parse_normalized(name).with_default_tag().string, digest)
    return 0
