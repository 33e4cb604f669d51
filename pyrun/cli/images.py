"""`pyrun images`: docker's list of images. HOT."""

from __future__ import annotations

from pyrun.cli import text as units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.images import ImageSummary

HEADINGS = {
    "CreatedAt": "CREATED AT", "CreatedSince": "CREATED", "Digest": "DIGEST", "ID": "IMAGE ID",
    "Repository": "REPOSITORY", "Size": "SIZE", "Tag": "TAG", "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE", "History": "HISTORY", "VirtualSize": "SIZE",
}  # fmt: skip


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, many, text

    return Verb(
        "images", execute, usage="[REPOSITORY[:TAG]]", summary="List images",
        params=[
            flag("-a --all", "Show all images (default hides intermediate images)"),
            flag("--digests", "Show digests"),
            many("-f --filter", "Filter output based on conditions provided", metavar="filter"),
            text("--format", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE"),
            flag("--history", "Display the names that the image had before"),
            flag("-n --noheading", "Do not print the headings"),
            flag("--no-trunc", "Don't truncate output"),
            flag("-q --quiet", "Only show image IDs"),
            text("--sort", "Sort by created, id, repository, size or tag (default: created)"),
            flag("--tree", "List multi-platform images as a tree"),
            argument("repository", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """List what the filters leave."""
    from pyrun.engine.images import list_lines

    wanted, until = _conditions(params["filter"])
    if params["repository"]:
        wanted.setdefault("reference", []).append(params["repository"])
    if params["tree"]:
        from pyrun.cli import images_tree

        images_tree.show(session, params, wanted, until)
        return 0
    found = list_lines(session.layout, wanted=wanted, until=until)
    if params["sort"]:
        found = _sorted(found, params["sort"])
    template, no_trunc = params["format"], params["no_trunc"]
    if params["quiet"] and template in (None, "", "table"):
        for image in found:
            print(image.id if no_trunc else image.id[7:19])
    elif template and template != "table":
        # As docker: one line a digest only where digests are asked for.
        history = _history(session) if ".History" in template else {}
        lines = _lines(found, each_digest=params["digests"] or "{{.Digest}}" in template)
        _show(template, lines, history, no_trunc=no_trunc)
    else:
        _table(
            _lines(found, each_digest=params["digests"]), digests=params["digests"], no_trunc=no_trunc,
            noheading=params["noheading"], history=_history(session) if params["history"] else None,
        )  # fmt: skip
    return 0


def _sorted(found: list[ImageSummary], key: str) -> list[ImageSummary]:
    """Sort as podman: the newest first, everything else from small to large."""
    keys: dict[str, Callable[[ImageSummary], Any]] = {
        "created": lambda image: -image.moment,
        "id": lambda image: image.id,
        "repository": lambda image: image.repository,
        "size": lambda image: image.size,
        "tag": lambda image: image.tag,
    }
    if key not in keys:
        from pyrun.errors import InvalidInputError

        raise InvalidInputError(f"cannot sort by {key!r}", hint=f"it is one of {', '.join(keys)}")
    return sorted(found, key=keys[key])


def _history(session: Session) -> dict[str, list[str]]:
    from pyrun.engine.history import earlier_names

    return earlier_names(session.layout)


def _conditions(words: Sequence[str]) -> tuple[dict[str, list[str]], list[int]]:
    if not words:
        return {}, []
    from pyrun.cli.times import parse_instant
    from pyrun.engine import filter_words
    from pyrun.engine.image_filters import KEYS

    wanted = filter_words.parse(words, KEYS)
    return wanted, [parse_instant(word) for word in wanted.pop("until", ())]


def _lines(found: Sequence[ImageSummary], *, each_digest: bool) -> list[tuple[ImageSummary, str]]:
    if not each_digest:
        return [(image, image.digest) for image in found]
    return [(image, digest) for image in found for digest in image.digests or ("",)]


def _table(
    lines: Sequence[tuple[ImageSummary, str]],
    *,
    digests: bool,
    no_trunc: bool,
    noheading: bool,
    history: dict[str, list[str]] | None,
) -> None:
    now = units.now()
    told = ["HISTORY"] if history is not None else []
    rows = [("REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "CREATED", "SIZE", *told)]
    for image, digest in lines:
        rows.append(
            (
                image.repository or "<none>",
                image.tag or "<none>",
                *([digest or "<none>"] if digests else []),
                image.id if no_trunc else image.id[7:19],
                _ago(image, now),
                units.human_size(image.size),
                *([", ".join(history.get(image.manifest, ())) or "<none>"] if history is not None else []),
            )
        )
    if noheading:
        del rows[0]
    if rows:
        print(units.columns(rows))


def _ago(image: ImageSummary, now: int) -> str:
    return f"{units.human_duration(now - image.moment)} ago" if image.moment else "N/A"


def _show(
    template: str, lines: Sequence[tuple[ImageSummary, str]], history: dict[str, list[str]], *, no_trunc: bool
) -> None:
    from pyrun.cli.formatting import Row, show_rows

    now = units.now()
    rows = [
        Row(fields(*line, no_trunc=no_trunc, now=now), History=", ".join(history.get(line[0].manifest, ())))
        for line in lines
    ]
    show_rows(template, rows, HEADINGS)


def fields(image: ImageSummary, digest: str, *, no_trunc: bool, now: int) -> dict[str, str]:
    """Return what templates may name, in the order that `{{json .}}` prints."""
    from pyrun.cli import times

    return {
        "Containers": "N/A",
        "CreatedAt": times.shown(image.moment) if image.moment else "N/A",
        "CreatedSince": _ago(image, now),
        "Digest": digest or "<none>",
        "ID": image.id if no_trunc else image.id[7:19],
        "Repository": image.repository or "<none>",
        "SharedSize": "N/A",
        "Size": units.human_size(image.size),
        "Tag": image.tag or "<none>",
        "UniqueSize": "N/A",
        "VirtualSize": units.human_size(image.size, 4),
    }
