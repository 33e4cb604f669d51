"""What the verbs `prune` share: docker's question, `--filter until= label= label!=`, the list of what went."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli import text as units
from pyrun.cli.definitions import flag, many
from pyrun.engine import filter_words
from pyrun.engine.prune import Conditions
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click


def options(*, until: bool = True) -> list[click.Parameter]:
    """Return the flags that all have."""
    example = "until=<timestamp>" if until else "label=<label>"
    return [
        many("--filter", f'Provide filter values (e.g. "{example}")', metavar="filter"),
        flag("-f --force", "Do not prompt for confirmation"),
    ]


def all_or_dangling(params: dict[str, Any]) -> bool:
    """Take `--filter dangling=` out of an image prune's filters; say whether images with a name are meant as well.

    moby api "ImagePrune": false means all unused images, as --all does. Raises: InvalidInputError.
    """
    words = filter_words.parse(params["filter"], ("dangling", "label", "label!", "until"), flag="--filter")
    answers = {not filter_words.boolean("dangling", word) for word in words.pop("dangling", ())}
    params["filter"] = [f"{key}={value}" for key, values in words.items() for value in values]
    if params["all"]:
        answers.add(True)
    if len(answers) > 1:
        raise InvalidInputError("invalid filter 'dangling': it cannot be both true and false; --all is false")
    return answers == {True}


def conditions(texts: Sequence[str], *, until: bool = True) -> Conditions:
    """Read the filters. Raises: FlagValueError, InvalidInputError."""
    from pyrun.cli.times import parse_instant

    known = ["label", "label!", *(["until"] if until else [])]
    wanted = filter_words.parse(texts, known, flag="--filter")
    moments = wanted.get("until", [])
    if len(moments) > 1:
        raise InvalidInputError("more than one until filter specified")
    moment = parse_instant(moments[0]) if moments else 0
    return Conditions(moment, tuple(wanted.get("label", ())), tuple(wanted.get("label!", ())))


def confirmed(params: dict[str, Any], warning: str) -> bool:
    """Ask, unless --force was given; an end of input is a no."""
    if params["force"]:
        return True
    print(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show(parts: Sequence[tuple[str, Sequence[str]]], reclaimed: int) -> None:
    """Print what went, by kind, and the room that is free now."""
    for kind, removed in parts:
        if removed:
            print(f"Deleted {kind}:", *removed, "", sep="\n")
    print(f"Total reclaimed space: {units.human_size(reclaimed, 4)}")
