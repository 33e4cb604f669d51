"""`pyrun images --tree`: docker's tree of images and their platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import text as units
from pyrun.cli.text import printable
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrun.cli.main import Session
    from pyrun.engine.platform_tree import ImageNode

# docker/cli tree.go: titles and widths; the first column is as wide as what is in it.
_COLUMNS = (("ID", 12, "<"), ("DISK USAGE", 10, ">"), ("CONTENT SIZE", 12, ">"), ("IN USE", 6, "^"))
_SPACE = "   "
_REFUSED = ("quiet", "no_trunc", "digests", "format", "history", "sort", "noheading")


def show(session: Session, params: dict[str, Any], wanted: dict[str, list[str]], until: list[int]) -> None:
    """Print the tree of the images that the filters leave."""
    from pyrun.engine.platform_tree import platform_tree

    for name in _REFUSED:
        if params[name]:
            raise InvalidInputError(f"--{name.replace('_', '-')} is not supported with --tree")
    images = platform_tree(session.layout, wanted, until)
    lines = [*_lines(images)]
    width = max([len("IMAGE"), *(len(label) for label, _ in lines)])
    print(_line("IMAGE", width, [title for title, _, _ in _COLUMNS]))
    for label, values in lines:
        print(_line(label, width, values))


def _lines(images: Iterable[ImageNode]) -> Iterable[tuple[str, list[str]]]:
    """Give each line's first column and the others; an empty line parts what belongs together."""
    for image in images:
        *others, last = image.names or ["<untagged>"]
        for name in others:
            yield name, []
        yield last, _values(image.id, image.disk_usage, image.content, in_use=image.in_use)
        yield "", []
        for place, node in enumerate(image.platforms, 1):
            branch = "└─" if place == len(image.platforms) else "├─"
            values = _values(node.id, node.content + node.unpacked, node.content, in_use=node.in_use)
            yield f"{branch} {printable(node.label)}", values
        yield "", []


def _values(digest: str, disk_usage: int, content: int, *, in_use: bool) -> list[str]:
    return [digest[7:19], units.human_size(disk_usage), units.human_size(content), "✔" if in_use else " "]


def _line(label: str, width: int, values: list[str]) -> str:
    cells = [f"{value:{align}{size}}" for value, (_, size, align) in zip(values, _COLUMNS, strict=False)]
    return _SPACE.join([label.ljust(width), *cells]).rstrip() if cells else label
