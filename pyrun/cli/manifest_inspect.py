"""`pyrun manifest inspect`: a manifest list that is here, else what a registry has under the name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag
from pyrun.cli.registry_options import access_of, access_options, creds_option
from pyrun.cli.text import json_text

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "inspect", execute, usage="MANIFEST", summary="Display an image manifest, or manifest list",
        params=[
            flag("--insecure", "As --tls-verify=false"),
            flag("-v --verbose", "Output additional info including layers and platform"),
            creds_option(),
            *access_options(),
            argument("name"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one JSON document."""
    from pyrun.engine import manifest_list, manifest_verbose

    access = access_of(params)
    if params["verbose"]:
        document: Any = manifest_verbose.describe(params["name"], access)
    else:
        document = json.loads(manifest_list.inspect(session.layout, params["name"], access))
    print(json_text(document))
    return 0
