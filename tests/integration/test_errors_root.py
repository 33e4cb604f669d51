"""What only root can set up: a small disk under the store, and a store on an overlay."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import push
from tests.support.images import entry, layer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.root


@contextmanager
def mounted(target: Path, *arguments: str) -> Iterator[None]:
    subprocess.run(["mount", *arguments, str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_full_disk(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    large = layer([entry("large", os.urandom(1 << 20) * 12)])
    image = push(registry, tmp_path, "large", {}, large)
    with mounted(pyrun.root, "-t", "tmpfs", "-o", "size=8m", "tmpfs"):
        message = pyrun.fails(1, "pull", image)
        assert message.startswith("pyrun: "), message
        assert "space" in message
        assert "hint: " in message
        assert pyrun.ok("images", "-q") == ""
        assert not [*(pyrun.root / "tmp").glob("*")]
        # Room for the next one: nothing of the failed pull takes any.
        small = push(registry, tmp_path, "small", {})
        assert pyrun.ok("run", "--rm", "--network", "none", small, "echo", "fits").endswith("fits")


def test_store_on_an_overlay(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    """As in a container of docker's: the kernel refuses an upper directory there, and the root is a copied tree."""
    image = push(registry, tmp_path, "plain", {})
    for name in ("lower", "upper", "work"):
        (pyrun.directory / name).mkdir()
    parts = f"lowerdir={pyrun.directory}/lower,upperdir={pyrun.directory}/upper,workdir={pyrun.directory}/work"
    with mounted(pyrun.root, "-t", "overlay", "-o", parts, "overlay"):
        pyrun.ok("pull", "-q", image)
        script = "grep ' / ' /proc/mounts | cut -d' ' -f3; touch /x && ls /x"
        for _ in range(2):
            assert pyrun.ok("run", "--rm", "--network", "none", image, "sh", "-c", script).split()[-1] == "/x"
        pyrun.ok("run", "--name", "kept", "--network", "none", image, "sh", "-c", "echo >> /f; wc -l < /f")
        assert pyrun.ok("start", "-a", "kept") == "2"
        pyrun.ok("rm", "kept")
        assert pyrun.ok("ps", "-aq") == ""
