"""Images of several platforms in the store: `images --tree` shows them, `rmi --platform` takes one away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pyrun.engine.platform_tree import platform_tree
from pyrun.engine.rmi_platform import remove_platform, remove_platforms
from pyrun.errors import ConflictError, ImageNotFoundError, NoMatchingPlatformError
from pyrun.images.resolve import resolve_image
from pyrun.store import index
from tests.integration.test_pull_choices import HERE, MINE, THEIRS, THERE, serve_index
from tests.integration.test_pull_choices import layout as layout  # the fixtures
from tests.integration.test_pull_choices import registry as registry
from tests.support.registry_hostile import digest_of
from tests.support.store_images import Image, fetch

if TYPE_CHECKING:
    from pyrun.store.layout import Layout
    from tests.support.command_line import CommandLine
    from tests.support.registry_hostile import HostileRegistry


def sizes(image: Image) -> int:
    return sum(len(data) for data in (image.config, *image.layers))


def test_the_tree(registry: HostileRegistry, layout: Layout) -> None:
    serve_index(registry, THEIRS, MINE)
    name = f"{registry.domain}/x:multi"
    fetch(layout, name)
    (image,) = platform_tree(layout, {})
    assert (image.id, image.names) == (digest_of(MINE.config), [name])
    assert [(node.label, node.is_here) for node in image.platforms] == [
        (f"linux/{THERE}", False), (f"linux/{HERE}", True),
    ]  # fmt: skip
    assert not image.platforms[0].content
    fetch(layout, name, all_platforms=True)
    (image,) = platform_tree(layout, {})
    theirs, mine = image.platforms
    assert theirs.is_here
    assert not theirs.unpacked
    assert mine.unpacked == resolve_image(layout, name)["unpacked_size"] > 0
    manifests = sum(os.stat(layout.blob(node.id)).st_size for node in image.platforms)
    assert image.content == sizes(MINE) + sizes(THEIRS) + manifests
    assert image.disk_usage == image.content + mine.unpacked
    assert platform_tree(layout, {"reference": ["nothing"]}) == []


def test_one_platform_goes(registry: HostileRegistry, layout: Layout) -> None:
    serve_index(registry, THEIRS, MINE)
    name = f"{registry.domain}/x:multi"
    fetch(layout, name, all_platforms=True)
    with pytest.raises(
        ConflictError, match=f"cannot remove one platform: {name}: linux/{HERE} is unpacked, and others"
    ):
        remove_platform(layout, name, f"linux/{HERE}")
    with pytest.raises(NoMatchingPlatformError, match="no image for linux/riscv64"):
        remove_platform(layout, name, "linux/riscv64")
    (line,) = remove_platform(layout, name, f"linux/{THERE}").lines
    assert line.startswith("Deleted: sha256:")
    assert not os.path.exists(layout.blob(digest_of(THEIRS.layers[1])))
    assert os.path.exists(layout.blob(digest_of(MINE.layers[0]))), "the layer that both have"
    (entry,) = index.entries(layout)
    assert index.ALL_PLATFORMS not in index.notes_of(entry)
    # It can come back, and the last one that is here goes with the image.
    fetch(layout, name, all_platforms=True)
    assert os.path.exists(layout.blob(digest_of(THEIRS.layers[1])))
    remove_platform(layout, name, f"linux/{THERE}")
    (_, removed, _), (_, _, error) = remove_platforms(layout, [name, "nosuch"], f"linux/{HERE}")
    assert f"Untagged: {name}" in removed.lines
    assert isinstance(error, ImageNotFoundError)
    assert not index.entries(layout)


def test_the_command_line(pyrun: CommandLine) -> None:
    pyrun.ok("pull", "-q", "pyrun.local/hello")
    image_id = pyrun.ok("images", "-q")
    head, name, _, platform, _ = pyrun.ok("images", "--tree").split("\n")
    assert head.split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "IN", "USE"]
    assert name.split()[:2] == ["pyrun.local/hello:latest", image_id]
    assert platform.startswith(f"└─ linux/{HERE} ")
    for flag in ("--quiet", "--no-trunc", "--digests"):
        assert f"{flag} is not supported with --tree" in pyrun.fails(1, "images", "--tree", flag)
    assert "invalid platform" in pyrun.fails(1, "rmi", "--platform", "a/b/c/d", "pyrun.local/hello")
    assert "Untagged: pyrun.local/hello:latest" in pyrun.ok("rmi", "--platform", f"linux/{HERE}", "pyrun.local/hello")
