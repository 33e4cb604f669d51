"""Fixtures and rules for all tests; the pieces are in tests/support/."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import features, leftovers
from tests.support.catalogue import Catalogue
from tests.support.command_line import CommandLine

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the tests marked `full`")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell without job control starts what runs in the background so, and all that we start would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # started by nohup(1)
    unknown = features.promised() - features.VOCABULARY.keys()
    if unknown:
        raise pytest.UsageError(f"PYRUN_MUST names what nobody knows: {', '.join(sorted(unknown))}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is too long, before anything is counted as skipped."""
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root"):
        features.check("root")
    for mark in item.iter_markers("requires"):
        features.check(*mark.args)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`127.0.0.1:PORT` of a registry that everybody may read and write."""
    features.check("registry")
    from tests.support.registry_real import running_registry

    with running_registry(tmp_path_factory.mktemp("registry")) as domain:
        yield domain


@pytest.fixture(scope="session")
def images(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Images in the registry: `images.busybox`, `images.rich`, `images.debian` are references."""
    features.check("skopeo", "busybox")
    return Catalogue(registry, tmp_path_factory.mktemp("images"))


@pytest.fixture
def pyrun() -> Iterator[CommandLine]:
    """The command line with a store of its own, which must be left without processes, locks and unfinished files."""
    leftovers.adopt_orphans()
    before = leftovers.Before()
    # Short, and on a disk: a Unix socket's name has 107 bytes, and an overlay's upper needs xattrs (tmpfs: since 6.6).
    command = CommandLine(Path(tempfile.mkdtemp(prefix="pyrun-", dir="/var/tmp")))
    yield command
    # Containers that the test has left on purpose end here; what outlives them is a fault.
    names = command("ps", "--all", "--quiet").stdout.split()
    if names:
        command("rm", "--force", "--volumes", *names)
    left = before.leftovers(command.root, command.runtime)
    removed = command.remove_everything()
    assert not left, "left behind:\n" + "\n".join(left)
    assert removed.returncode == 0, removed.stderr.decode(errors="replace")
