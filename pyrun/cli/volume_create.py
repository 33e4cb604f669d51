"""`pyrun volume create`: make a volume, print its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, many, text, unsupported
from pyrun.errors import InvalidInputError, UnsupportedFlagError

if TYPE_CHECKING:
    from pyrun.cli.main import Session

_CLUSTER = """--availability --group --limit-bytes --required-bytes --scope --secret --sharing --topology-preferred
    --topology-required --type"""


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "create", execute, usage="[VOLUME]", summary="Create a volume",
        params=[
            text("-d --driver", "Specify volume driver name", default="local"),
            many("--label", "Set metadata for a volume"),
            many("-o --opt", "Set driver specific options", metavar="map"),
            *unsupported("", _CLUSTER),
            argument("volume", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Make it, or leave it as it is."""
    from pyrun.engine import labels
    from pyrun.engine.volumes import create_volume

    if params["driver"] != "local":
        raise InvalidInputError(f"no volume driver {params['driver']!r}: pyrun has no plugins", hint="it is local")
    if params["opt"]:
        raise UnsupportedFlagError("--opt")
    print(create_volume(session.layout, params["volume"] or "", labels.from_options(params["label"], [])))
    return 0
