"""`pyrun image tree`: an image's layers with their sizes and names; podman's verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import text as units
from pyrun.cli.definitions import Verb, argument, flag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyrun.cli.main import Session
    from pyrun.engine.image_tree import Layer

_SIZE_DIGITS = 4  # podman's


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "image-tree", execute, usage="IMAGE", summary="Print the layers of an image as a tree",
        params=[
            flag("--whatrequires", "Show the images that are built on this one, and their layers"),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print podman's tree."""
    from pyrun.engine.image_tree import image_tree

    found = image_tree(session.layout, params["image"], what_requires=params["whatrequires"])
    print(f"Image ID: {found.image_id[7:19]}")
    print(units.printable(f"Tags:     [{' '.join(found.tags)}]"))
    print(f"Size:     {units.human_size(found.size, _SIZE_DIGITS)}")
    print("Image Layers" if found.layers else "No Image Layers")
    for line in _drawn(found.layers, ""):
        print(units.printable(line))
    return 0


def _drawn(layers: Sequence[Layer], before: str) -> Iterator[str]:
    for layer in layers:
        is_last = layer is layers[-1]
        tops = f" Top Layer of: [{' '.join(layer.tops)}]" if layer.tops else ""
        size = units.human_size(layer.size, _SIZE_DIGITS)
        yield f"{before}{'└── ' if is_last else '├── '}ID: {layer.id[7:19]} Size: {size}{tops}"
        yield from _drawn(layer.above, before + ("    " if is_last else "│   "))
