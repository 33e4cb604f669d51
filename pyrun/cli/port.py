"""`pyrun port`: where the host listens for a container's ports."""

from __future__ import annotations

from pyrun.errors import InvalidInputError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument

    return Verb(
        "port", execute, usage="CONTAINER [PRIVATE_PORT[/PROTO]]",
        summary="List port mappings or a specific mapping for the container",
        params=[
            argument("container"),
            argument("private_port", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one line a mapping."""
    from pyrun.engine.port import port_mappings

    found = port_mappings(session.layout, params["container"])
    wanted = params["private_port"]
    if wanted is None:
        for mapping in found:
            print(f"{mapping.inside} -> {mapping.outside}")
        return 0
    number, _, protocol = wanted.partition("/")
    reason = "" if number.isdecimal() else "invalid syntax"
    if not reason and int(number) > 65535:
        reason = "value out of range"
    if reason:
        raise InvalidInputError(f'invalid port ({number}): strconv.ParseUint: parsing "{number}": {reason}')
    lines = [mapping.outside for mapping in found if mapping.inside == f"{number}/{protocol or 'tcp'}"]
    if not lines:
        raise NotFoundError(f"no public port '{wanted}' published for {params['container']}")
    print("\n".join(lines))
    return 0
