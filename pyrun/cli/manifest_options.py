"""The options that verbs of `pyrun manifest` share: what an entry says of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import many, text
from pyrun.engine.manifest_list import Marks

if TYPE_CHECKING:
    import click


def mark_options() -> list[click.Option]:
    """Define them."""
    return [
        many("--annotation", "Set an annotation of the entry, KEY=VALUE", metavar="annotation"),
        text("--arch", "Set architecture"),
        many("--features", "Set the features of the platform"),
        text("--os", "Set operating system"),
        many("--os-features", "Set operating system features"),
        text("--os-version", "Set operating system version"),
        text("--variant", "Set architecture variant"),
    ]


def marks_of(params: dict[str, Any]) -> Marks:
    """Read them."""
    return Marks(
        params["os"] or "", params["arch"] or "", params["variant"] or "", params["os_version"] or "",
        _words(params["os_features"]), _words(params["features"]), tuple(params["annotation"]),
    )  # fmt: skip


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for item in given for word in item.split(",") if word)
