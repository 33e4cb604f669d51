"""`pyrun image mount`: an image's files under a path that ls, grep and tar can read; podman's verb."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, text
from pyrun.errors import InvalidInputError, PyrunError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-mount", execute, usage="[IMAGE...]",
        summary="Mount images so that programs outside of containers can read their files, or list mounted images",
        params=[
            flag("-a --all", "Mount all images"),
            text("--format", "Print the mounted images in specified format (json)"),
            argument("names", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Mount and print where; without names list what is mounted."""
    from pyrun.engine import image_mount as engine
    from pyrun.engine.images import list_images

    names = params["names"]
    if params["format"] not in (None, "json"):
        raise InvalidInputError(f"unknown --format argument: {params['format']!r}", hint="it is json")
    if params["all"] and names:
        raise InvalidInputError("when using the --all option, you may not pass any image names or ids")
    if params["all"]:
        names = list(dict.fromkeys(image.manifest for image in list_images(session.layout)))
    done: list[str] = []
    failed = False
    for name in names:
        try:
            mounted = engine.mount_image(session.layout, name)
        except PyrunError as error:
            failed = True
            _report(error)
            continue
        done.append(mounted.mount.directory)
        if mounted.lost:
            print(f"WARNING: {mounted.lost}", file=sys.stderr)
        if len(names) == 1 and not params["format"] and not params["all"]:
            print(mounted.mount.path)
            return 0
    shown = [
        (mount, tags) for mount, tags in engine.mounts(session.layout) if not names or mount.directory in done
    ]  # fmt: skip
    _show(shown, as_json=params["format"] == "json")
    return 1 if failed else 0


def _show(shown: list[tuple[Any, list[str]]], *, as_json: bool) -> None:
    if as_json:
        import json

        rows = [
            {"id": mount.id.partition(":")[2], "Repositories": tags, "mountpoint": mount.path} for mount, tags in shown
        ]
        print(json.dumps(rows, indent=1))
        return
    for mount, tags in shown:
        print(f"{tags[0] if tags else mount.id.partition(':')[2]}\t{mount.path}")


def _report(error: PyrunError) -> None:
    from pyrun.cli.errors import report

    report(error, verb="image mount", debug=False)
