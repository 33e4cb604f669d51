"""`pyrun rmi`: remove images by name or id; prints what was untagged and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, unsupported
from pyrun.cli.errors import report
from pyrun.errors import ImageNotFoundError, PyrunError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "rmi", execute, usage="IMAGE [IMAGE...]", summary="Remove one or more images",
        params=[
            flag("-f --force", "Force removal of the image"),
            *unsupported("--no-prune", "--platform"),
            argument("images", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove each image; a failure of one does not stop the others."""
    from pyrun.engine.rmi import remove_image

    names = params["images"]
    code = 0
    for name in names:
        try:
            removed = remove_image(session.layout, name, force=params["force"])
        except PyrunError as error:
            is_forgiven = params["force"] and isinstance(error, ImageNotFoundError)
            if len(names) == 1 and not is_forgiven:
                raise
            failed = report(error, verb="rmi", debug=bool(session.debug))
            code = code if is_forgiven else failed
        else:
            for line in removed.lines:
                print(line)
    return code
