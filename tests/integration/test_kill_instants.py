"""SIGKILL at many system calls of `run -d` and `pull`: the client, the monitor, the unpack helper. Whenever that is,
every command works afterwards, nothing unfinished is seen, and the disk holds what it held before.

The instants are counted in system calls (strace), spread over the whole life of the process that is killed. Another
container runs meanwhile: it keeps the engine namespace, as newuidmap(1), a setuid program, cannot be traced.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pyrun.engine import images, ps
from pyrun.engine.image_inspect import image_inspect
from pyrun.engine.inspect import inspect
from pyrun.errors import ContainerNotFoundError
from pyrun.store.layout import Layout
from tests.support.features import ROOT, requires
from tests.support.killing import INSTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue

pytestmark = requires("strace", "overlay", "native")

# A Python command's first calls are the interpreter's start; the interesting part is the end of it.
CLIENT_FROM = 0.55
KILLED = (-9, 137)


@pytest.fixture
def held(box: Box) -> Iterator[Box]:
    """A store with an image, and a container that runs throughout."""
    box.pyrun.ok("run", "-d", "--name", "holder", "--network", "none", box.image, "sleep", "100000")
    box.pyrun.ok("pull", "-q", box.image)
    yield box
    assert "holder" in box.pyrun.ok("ps", "--format", "{{.Names}}"), "it must not have been touched"


def instants(trace: Path, count: int, start: float = 0.0) -> list[str]:
    """`count` calls of a trace, spread from `start` (a part of all) to its end, as strace's options that kill there.

    strace counts each system call by itself: the n-th `read`, not the n-th call.
    """
    seen: Counter[str] = Counter()
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        name = line.partition("(")[0]
        if name.isidentifier() and name not in ("execve", "exit_group"):
            seen[name] += 1
            calls.append(f"-o /dev/null -e inject={name}:signal=SIGKILL:when={seen[name]}")
    first = int(len(calls) * start)
    chosen = sorted({first + (len(calls) - first) * index // count for index in range(count)})
    return [calls[index] for index in chosen]


def under_strace(box: Box, options: str, *arguments: str) -> int:
    status = run(box, ["strace", "-qqq", "-e", "signal=none", *options.split(), *box.pyrun.program, *arguments])
    if status in KILLED:
        INSTANTS.add((" ".join(arguments), "client", options, "client"))
    return status


def with_traced(box: Box, which: str, options: str, *arguments: str) -> int:
    """The same for the monitor (`monitor`) or the unpack helper (`tree`) of the command."""
    return run(box, [sys.executable, str(ROOT / "tests/support/traced.py"), which, options, "--", *arguments])


def run(box: Box, argv: list[str]) -> int:
    environment = box.pyrun.environment | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(argv, env=environment, cwd=box.pyrun.home, capture_output=True, timeout=60).returncode


def on_disk(box: Box) -> dict[str, int]:
    """Every file of the store that is content, and its size: what `du` adds up."""
    found = {}
    for part in ("oci", "layers", "images", "volumes", "containers", "ephemeral", "tmp", "trash", "leases", "names"):
        for parent, _, names in os.walk(box.pyrun.root / part):
            for name in names:
                path = os.path.join(parent, name)
                # An image's record says when it was pulled, in more or fewer digits.
                found[os.path.relpath(path, box.pyrun.root)] = 0 if part == "images" else os.lstat(path).st_size
    found.pop("oci/index.lock", None)
    return found


def check_everything_works(layout: Layout) -> None:
    """Asked of the engine in this process: a command for each question was most of the time that an instant took."""
    for each in ps.list_containers(layout, all=True):
        assert each.state.word in ("created", "running", "exited"), each.id
        try:
            assert inspect(layout, each.id)["Id"] == each.id
        except ContainerNotFoundError:  # with --rm it may have come to its end since
            assert each.record["ephemeral"]
    for image in images.list_images(layout):
        image_inspect(layout, image.id)


def names(layout: Layout) -> list[str]:
    return [each.record["name"] for each in ps.list_containers(layout, all=True)]


def clean(box: Box) -> None:
    layout = Layout.default(environ=box.pyrun.environment)
    for name in names(layout):
        if name != "holder":
            # With --rm it may come to its end by itself, before or while we remove it.
            done = box.pyrun("rm", "-f", name)
            assert done.returncode == 0 or "no such container" in done.stderr, done.stderr
    assert names(layout) == ["holder"]


def check_after_run(box: Box, before: dict[str, int]) -> None:
    check_everything_works(Layout.default(environ=box.pyrun.environment))
    clean(box)
    # The name is free, the image is whole.
    assert box.pyrun.ok("run", "--rm", "--name", "victim", "--network", "none", box.image, "echo", "fine") == "fine"
    box.pyrun.ok("image", "prune", "-f")  # sweeps
    assert on_disk(box) == before


RUN = ("run", "-d", "--name", "victim", "--network", "none")


def kill_clients(box: Box, tmp_path: Path, count: int) -> None:
    argv = (*RUN, box.image, "sleep", "100000")
    before = on_disk(box)
    assert under_strace(box, f"-o {tmp_path}/trace", *argv) == 0
    clean(box)
    statuses = []
    for options in instants(tmp_path / "trace", count, CLIENT_FROM):
        statuses.append(under_strace(box, options, *argv))
        check_after_run(box, before)
    check_most_were_killed(statuses)


def kill_monitors(box: Box, tmp_path: Path, count: int) -> None:
    # A container that does something and ends, and so lets its monitor come to its last call.
    argv = (*RUN, "--rm", box.image, "sh", "-c", "echo 1; echo 2 >&2; exit 3")
    before = on_disk(box)
    tmp_path.chmod(0o777)
    assert with_traced(box, "monitor", f"-o {tmp_path}/trace", *argv) == 0
    statuses = []
    box.pyrun("wait", "victim")
    for options in instants(tmp_path / "trace", count):
        statuses.append(with_traced(box, "monitor", options, *argv))
        check_after_run(box, before)
    # Killed later than execve, it leaves a client that has done its work.
    assert set(statuses) <= {0, 125}, statuses
    assert 125 in statuses, statuses


def kill_pulls(box: Box, tmp_path: Path, reference: str, count: int) -> None:
    assert under_strace(box, f"-o {tmp_path}/trace", "pull", "-q", reference) == 0
    whole = on_disk(box)
    statuses = []
    for options in instants(tmp_path / "trace", count, CLIENT_FROM):
        box.pyrun.ok("rmi", reference)
        statuses.append(under_strace(box, options, "pull", "-q", reference))
        check_after_pull(box, reference, whole)
    check_most_were_killed(statuses)


def kill_helpers(box: Box, tmp_path: Path, reference: str, count: int) -> None:
    tmp_path.chmod(0o777)
    assert with_traced(box, "tree", f"-o {tmp_path}/trace", "pull", "-q", reference) == 0
    whole = on_disk(box)
    statuses = []
    for options in instants(tmp_path / "trace", count):
        box.pyrun.ok("rmi", reference)
        statuses.append(with_traced(box, "tree", options, "pull", "-q", reference))
        check_after_pull(box, reference, whole)
    assert statuses.count(0) < len(statuses) // 4 + 1, statuses


def check_most_were_killed(statuses: list[int]) -> None:
    # Some calls are not made every time (EINTR, a lock that is free): but those are few.
    assert len([status for status in statuses if status in KILLED]) > len(statuses) * 3 // 4, statuses


def check_after_pull(box: Box, reference: str, whole: dict[str, int]) -> None:
    check_everything_works(Layout.default(environ=box.pyrun.environment))
    box.pyrun.ok("pull", "-q", reference)
    box.pyrun.ok("image", "prune", "-f")  # sweeps, as a pull does that finds something new
    assert box.pyrun.ok("run", "--rm", "--network", "none", reference, "echo", "fine") == "fine"
    assert on_disk(box) == whole


@pytest.mark.timeout(120)
def test_a_few_clients(held: Box, tmp_path: Path) -> None:
    kill_clients(held, tmp_path, 5)


@pytest.mark.timeout(120)
def test_a_few_monitors(held: Box, tmp_path: Path) -> None:
    kill_monitors(held, tmp_path, 5)


@pytest.mark.timeout(120)
def test_a_few_pulls(held: Box, images: Catalogue, tmp_path: Path) -> None:
    kill_pulls(held, tmp_path, images.rich, 4)


@pytest.mark.timeout(120)
def test_a_few_helpers(held: Box, images: Catalogue, tmp_path: Path) -> None:
    kill_helpers(held, tmp_path, images.rich, 3)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_many_clients(held: Box, tmp_path: Path) -> None:
    kill_clients(held, tmp_path, 120)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_many_monitors(held: Box, tmp_path: Path) -> None:
    kill_monitors(held, tmp_path, 120)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_many_pulls(held: Box, images: Catalogue, tmp_path: Path) -> None:
    kill_pulls(held, tmp_path, images.rich, 120)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_many_helpers(held: Box, images: Catalogue, tmp_path: Path) -> None:
    kill_helpers(held, tmp_path, images.rich, 120)
