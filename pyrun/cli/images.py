"""`pyrun images`: docker's list of images."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pyrun.cli import text as units
from pyrun.cli.definitions import Verb, argument, flag, many, text, unsupported
from pyrun.engine.instant import parse_rfc3339
from pyrun.errors import ImageNotFoundError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrun.cli.main import Session
    from pyrun.engine.images import ImageSummary

HEADINGS = {
    "CreatedAt": "CREATED AT", "CreatedSince": "CREATED", "Digest": "DIGEST", "ID": "IMAGE ID",
    "Repository": "REPOSITORY", "Size": "SIZE", "Tag": "TAG", "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE", "VirtualSize": "SIZE",
}  # fmt: skip
_TABLE = ("Repository", "Tag", "ID", "CreatedSince", "Size")
_TABLE_WITH_DIGESTS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "images", execute, usage="[REPOSITORY[:TAG]]", summary="List images",
        params=[
            flag("-a --all", "Show all images (default hides intermediate images)"),
            flag("--digests", "Show digests"),
            many("-f --filter", "Filter output based on conditions provided", metavar="filter"),
            text("--format", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE"),
            flag("--no-trunc", "Don't truncate output"),
            flag("-q --quiet", "Only show image IDs"),
            *unsupported("--tree", ""),
            argument("repository", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """List what the filters leave."""
    from pyrun.engine.images import list_images

    everything = list_images(session.layout)
    conditions = list(params["filter"])
    if params["repository"]:
        conditions.append(f"reference={params['repository']}")
    accepts = [_condition(session, everything, words) for words in _grouped(conditions)]
    found = [image for image in everything if all(accept(image) for accept in accepts)]
    now = units.now()
    rows = [fields(image, no_trunc=params["no_trunc"], now=now) for image in found]
    template = params["format"]
    if params["quiet"] and not template:
        for row in rows:
            print(row["ID"])
    elif template and template != "table":
        from pyrun.cli.formatting import Row, show_rows

        show_rows(template, [Row(row) for row in rows], HEADINGS)
    else:
        names = _TABLE_WITH_DIGESTS if params["digests"] else _TABLE
        print(units.columns([[HEADINGS[name] for name in names], *([row[name] for name in names] for row in rows)]))
    return 0


def fields(image: ImageSummary, *, no_trunc: bool, now: int) -> dict[str, str]:
    """Return what templates may name, in the order that `{{json .}}` prints."""
    from pyrun.cli import times

    created = parse_rfc3339(image.created)
    return {
        "Containers": "N/A",
        "CreatedAt": times.shown(created) if created else "N/A",
        "CreatedSince": f"{units.human_duration(now - created)} ago" if created else "N/A",
        "Digest": image.digest or "<none>",
        "ID": image.id if no_trunc else image.id.partition(":")[2][:12],
        "Repository": image.repository or "<none>",
        "SharedSize": "N/A",
        "Size": units.human_size(image.size),
        "Tag": image.tag or "<none>",
        "UniqueSize": "N/A",
        "VirtualSize": units.human_size(image.size, 4),
    }


def _grouped(conditions: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Gather values by key: those of one key are alternatives (labels and times excepted: all must hold)."""
    grouped: dict[str, list[str]] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals:
            raise InvalidInputError(f"invalid filter: {condition!r}: expected key=value")
        grouped.setdefault(key, []).append(value)
    return list(grouped.items())


def _condition(
    session: Session, everything: Sequence[ImageSummary], words: tuple[str, list[str]]
) -> Callable[[ImageSummary], bool]:
    key, values = words
    if key == "dangling":
        if any(value not in ("true", "false", "1", "0") for value in values):
            raise InvalidInputError(f"invalid filter: dangling={values[0]}", hint="it is true or false")
        wanted = values[-1] in ("true", "1")
        return lambda image: image.is_dangling == wanted
    if key == "reference":
        return lambda image: any(_is_named(image, value) for value in values)
    if key == "label":
        return lambda image: all(_has_label(session, image, value) for value in values)
    if key in ("before", "since"):
        moments = [_created_of(everything, value) for value in values]
        if key == "before":
            return lambda image: all(image.created < moment for moment in moments)
        return lambda image: all(image.created > moment for moment in moments)
    raise InvalidInputError(f"invalid filter: {key!r}", hint="known filters: before, dangling, label, reference, since")


def _is_named(image: ImageSummary, pattern: str) -> bool:
    """docker: the pattern is matched against NAME, NAME:TAG and NAME@DIGEST; `*` stops at a slash there."""
    names = [image.repository, f"{image.repository}:{image.tag}", f"{image.repository}@{image.digest}"]
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for name in names)


def _has_label(session: Session, image: ImageSummary, wanted: str) -> bool:
    from pyrun.engine.image_inspect import image_inspect

    labels = image_inspect(session.layout, image.id)["Config"]["Labels"] or {}
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _created_of(everything: Sequence[ImageSummary], text: str) -> str:
    for image in everything:
        names = (image.repository, f"{image.repository}:{image.tag}", image.id)
        if text in names or (len(text) >= 4 and image.id.partition(":")[2].startswith(text.removeprefix("sha256:"))):
            return image.created
    raise ImageNotFoundError(text)
