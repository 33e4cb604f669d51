"""`pyrun inspect`: docker's JSON of containers, then images, by name."""

from __future__ import annotations

from pyrun.errors import InvalidInputError, InvalidReferenceError, NotFoundError, PyrunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.formatting import Document
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "inspect", execute, usage="NAME|ID [NAME|ID...]",
        summary="Return low-level information on containers, images and volumes",
        params=[
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
            text("--type", "Only inspect objects of the given type: container, image, volume"),
            flag("-s --size", "Display total file sizes if the type is container"),
            argument("names", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print one JSON list."""
    from pyrun.engine import inspect

    # Imported when they are asked: most names are containers'.
    def image(name: str) -> dict[str, Any]:
        from pyrun.engine.image_inspect import image_inspect

        return image_inspect(session.layout, name)

    def volume(name: str) -> dict[str, Any]:
        from pyrun.engine.volumes import inspect_volume

        return inspect_volume(session.layout, name)

    kinds: dict[str, Callable[[str], dict[str, Any]]] = {
        "container": lambda name: inspect.inspect(session.layout, name, with_size=params["size"]),
        "image": image,
        "volume": volume,
    }
    wanted = params["type"]
    if wanted and wanted not in kinds:
        known = ", ".join(f'"{kind}"' for kind in kinds)
        raise InvalidInputError(f'unknown type: "{wanted}": must be one of {known}')
    return show(params["names"], params["format"], [kinds[wanted]] if wanted else list(kinds.values()))


def show(names: Sequence[str], template: str | None, lookups: Sequence[Callable[[str], dict[str, Any]]]) -> int:
    """Print what was found, report what was not; the exit code is 1 if anything was not.

    docker answers a template that cannot be parsed with 64; a line of what does not fit it is empty.
    """
    form: Document | None = None
    if template and template != "json":
        from pyrun.cli.formatting import Document
        from pyrun.cli.gotemplate import TemplateError

        try:
            form = Document(template)
        except TemplateError as error:
            from pyrun.cli.errors import report

            report(error, verb="inspect", debug=False)
            return 64
    shown: list[Any] = []
    failures: list[PyrunError] = []
    for name in names:
        try:
            document = _look_up(name, lookups)
            shown.append(form.render(document) if form else document)
        except (NotFoundError, InvalidInputError) as error:
            failures.append(error)
    if form:
        print("\n".join(shown))
    elif template:
        from pyrun.cli.formatting import as_json

        print(as_json(shown))
    else:
        from pyrun.cli.text import json_text

        print(json_text(shown))
    if failures:
        from pyrun.cli.errors import report

        for failure in failures:
            report(failure, verb="inspect", debug=False)
    return 1 if failures else 0


def _look_up(name: str, lookups: Sequence[Callable[[str], dict[str, Any]]]) -> dict[str, Any]:
    for lookup in lookups:
        try:
            return lookup(name)
        except (NotFoundError, InvalidReferenceError):  # what cannot be an image's name is no image
            if len(lookups) == 1:
                raise
    raise NotFoundError(f"no such object: {name}", hint="`pyrun ps -a` and `pyrun images` list what there is")
