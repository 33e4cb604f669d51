"""`pyrun image verify`: which signatures of an image a public key has made, in cosign's words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, cert_dir, text, tls_verify
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session

FORMATS = ("json", "text")


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-verify", execute, usage="IMAGE", summary="Verify the signatures of an image with a public key",
        params=[
            text("--key", "Public key (cosign.pub)", metavar="file"),
            text("-o --output", "Output format of the signed payloads (json, text)", default="json"),
            cert_dir(),
            tls_verify(),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Verify; say on stderr what was checked, print the payloads."""
    if not params["key"]:
        raise InvalidInputError("no key to verify with", hint="--key cosign.pub")
    if params["output"] not in FORMATS:
        raise InvalidInputError(f"invalid --output: {params['output']!r}", hint="it is one of json, text")
    from pyrun.engine.verification import verify
    from pyrun.oci import json

    found = verify(
        session.layout, params["image"], params["key"], tls_verify=params["tls_verify"],
        cert_dir=params["cert_dir"] or "",
    )  # fmt: skip
    where = "the image of the store" if found.is_local else "what the registry has"
    print(
        f"\nVerification for {found.reference.name}@{found.digest} ({where}) --",
        "The following checks were performed on each of these signatures:",
        "  - The cosign claims were validated",
        "  - The signatures were verified against the specified public key",
        sep="\n", file=sys.stderr,
    )  # fmt: skip
    if found.other_names:
        print(f"Note: it was signed for another name: {', '.join(found.other_names)}", file=sys.stderr)
    sys.stderr.flush()
    if params["output"] == "json":
        print(json.dumps(found.documents))
    else:
        for claim in found.claims:
            print(f"{claim.digest} {claim.reference}")
    return 0
