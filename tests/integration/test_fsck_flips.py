"""A bit that flips anywhere in a store is told by fsck, and put right by --repair; nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_fsck import as_owner, damage, repair
from tests.support import flips
from tests.support.features import ROOT

if TYPE_CHECKING:
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")


@pytest.fixture
def store(pyrun: CommandLine, images: Catalogue) -> CommandLine:
    """Two images, a container that ran and one whose health was checked, a volume, a list, a policy's verdict."""
    policy = pyrun.home / ".config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    os.utime(policy, (1, 1))  # of a file that was written just now no verdict is kept
    pyrun.ok("pull", "-q", images.busybox)
    pyrun.ok("create", "--name", "box", "-v", "data:/data", images.busybox, "sh", "-c", "echo 1 > /data/f; echo 2 > /f")
    pyrun.ok("start", "-a", "box")
    pyrun.ok(
        "run", "--name", "checked", "--health-cmd", "true", "--health-interval", "50ms", images.busybox, "sleep", "0.3"
    )
    pyrun.ok("commit", "box", "small:2")
    pyrun.ok("manifest", "create", "list:1", "small:2")
    return pyrun


def silent(pyrun: CommandLine, step: int) -> dict[str, list[int]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.flips", str(pyrun.root), str(step)], env=pyrun.environment, cwd=ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    tried = [path for path, _, _ in found]
    for kind in ("refs.log", "events/record", "oci/index.json", "volumes/data/volume.json", "cache/", "lists/",
                 ".verdict", "/exit", "/state", "/health", "/seccomp.bpf", "/sidecar", "oci/blobs/"):  # fmt: skip
        assert any(kind in path for path in tried), kind
    return {path: places for path, _, places in found if places}


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_bit_of_every_seventh_byte_is_told(store: CommandLine) -> None:
    assert silent(store, 7) == {}


def test_a_bit_in_each_file_is_told_and_in_all_at_once_put_right(store: CommandLine) -> None:
    assert silent(store, 0) == {}
    blobs = store.root / "oci/blobs"  # what was made here cannot be fetched again
    found = [path for path in flips.files(store.root) if blobs not in path.parents]
    before = {path: path.read_bytes() for path in found}
    for path in found:
        flips.flip(path, flips.place(path))
    repair(store)
    # A cached filter is compiled again by the next start; all else is what it was; the damaged ones are kept.
    cached = [path for path in found if path.parent.name == "cache" and not path.exists()]
    assert [path for path in found if path not in cached and path.read_bytes() != before[path]] == []
    assert len(list((store.root / "quarantine").iterdir())) >= len(found) - 2  # the two sidecars go with their layers
    assert store.ok("start", "-a", "box") == ""


@pytest.mark.full
def test_files_of_layers(store: CommandLine) -> None:
    tree = next(path for path in store.root.glob("layers/sha256/*/full/tree") if (path / "bin").is_dir())
    places = [(name, at) for name in ("bin/busybox", "etc/passwd") for at in (0, 7, 41)]
    for name, at in places:
        as_owner(f"cd {tree}; printf X | dd of={name} bs=1 seek={at} conv=notrunc status=none")
        assert any(f"/{name} has other content" in problem for problem in damage(store)), (name, at)
        repair(store)
        tree = next(path for path in store.root.glob("layers/sha256/*/full/tree") if (path / "bin").is_dir())
