"""`pyrun image unmount`: end what `image mount` began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag
from pyrun.errors import InvalidInputError, PyrunError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-unmount", execute, usage="IMAGE [IMAGE...]", summary="Unmount images",
        params=[
            flag("-a --all", "Unmount all mounted images"),
            flag("-f --force", "Unmount also while a program uses the files"),
            argument("names", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Unmount and print the ids, as podman."""
    from pyrun.cli.errors import report
    from pyrun.engine import image_mount as engine

    names = params["names"]
    if params["all"] == bool(names):
        raise InvalidInputError("name the images to unmount, or give --all", hint="`pyrun image mount` lists them")
    if params["all"]:
        for image_id in engine.unmount_all(session.layout, force=params["force"]):
            print(image_id.partition(":")[2])
        return 0
    failed = False
    for name in names:
        try:
            print(engine.unmount_image(session.layout, name, force=params["force"]).partition(":")[2])
        except PyrunError as error:
            failed = True
            report(error, verb="image unmount", debug=False)
    return 1 if failed else 0
