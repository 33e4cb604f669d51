"""`pyrun rmi`: remove images by name or id; prints what was untagged and deleted. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "rmi", execute, usage="IMAGE [IMAGE...]", summary="Remove one or more images",
        params=[
            flag("-a --all", "Remove all images"),
            flag("-f --force", "Force removal of the image"),
            flag("-i --ignore", "Ignore images that do not exist"),
            flag("--no-prune", "Do not delete untagged parents"),
            text("--platform", "Remove only the given platform variant, as os[/arch[/variant]]"),
            argument("images", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Remove each image; a failure of one does not stop the others."""
    from pyrun.engine import rmi
    from pyrun.errors import ImageNotFoundError, InvalidInputError

    names = params["images"]
    if not names and not params["all"]:
        raise InvalidInputError("'pyrun rmi' requires at least 1 argument", hint="see `pyrun rmi --help`")
    if names and params["all"]:
        raise InvalidInputError("--all takes no images: leave out the names, or --all")
    if params["all"]:
        names = rmi.all_ids(session.layout)
    code = 0
    if params["platform"]:
        from pyrun.engine.rmi_platform import remove_platforms

        outcomes = remove_platforms(session.layout, names, params["platform"], force=params["force"])
    else:
        outcomes = rmi.remove_images(session.layout, names, force=params["force"], prune=not params["no_prune"])
    for _, removed, error in outcomes:
        if error is None:
            print(*removed.lines, sep="\n")
            continue
        is_missing = isinstance(error, ImageNotFoundError)
        if is_missing and params["ignore"]:
            continue
        is_forgiven = is_missing and params["force"]
        if len(names) == 1 and not is_forgiven:
            raise error
        from pyrun.cli.errors import report

        failed = report(error, verb="rmi", debug=bool(session.debug))
        code = code if is_forgiven else failed
    return code
