"""A short name that several registries may have: asked for at a terminal, once; an error, or the first, elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")

NOBODY = "127.0.0.1:1"  # where no registry is


@contextmanager
def asked(pyrun: CommandLine, *arguments: str) -> Iterator[pexpect.spawn]:
    words = [*pyrun.program[1:], *arguments]
    child = pexpect.spawn(pyrun.program[0], words, env=pyrun.environment, timeout=20, encoding="utf-8")
    child.expect_exact("may be at several registries:")
    child.expect_exact("Which one [1-2]? ")
    yield child
    child.expect(pexpect.EOF)
    child.close()


def test_asked_once(pyrun: CommandLine, images: Catalogue) -> None:
    registry, _, word = images.busybox.rpartition("/")
    home = Path(pyrun.environment["HOME"])
    settings = home / ".config/containers/registries.conf"
    settings.parent.mkdir(parents=True)
    search = f"unqualified-search-registries = ['{NOBODY}', '{registry}']\n"
    settings.write_text(f"{search}short-name-mode = 'enforcing'\n")
    recorded = home / ".cache/containers/short-name-aliases.conf"
    assert f"hint: write one of {NOBODY}/{word}, {images.busybox}" in pyrun.fails(1, "pull", word)
    with asked(pyrun, "pull", word) as child:
        child.sendline("")
    assert child.exitstatus == 1
    assert "no registry was chosen" in child.before
    with asked(pyrun, "pull", word) as child:
        child.sendline("1")
    assert child.exitstatus == 1
    assert "connection refused" in child.before
    assert not recorded.exists(), "what could not be pulled is not kept"
    with asked(pyrun, "run", "--rm", "--network", "none", word, "echo", "it", "runs") as child:
        child.sendline("9")
        child.expect_exact("Which one [1-2]? ")
        child.sendline("2")
        child.expect_exact("it runs")
    assert child.exitstatus == 0
    name = word.partition(":")[0]
    assert recorded.read_text() == f'[aliases]\n  "{name}" = "{registry}/{name}"\n'
    # From then on nobody has to be there.
    assert pyrun.ok("pull", "-q", word) == images.busybox
