"""Many commands on one store at once: none breaks another, fsck beside them finds nothing, derived forms are whole."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_fsck import damage

if TYPE_CHECKING:
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")

NONE = ("--rm", "--network", "none")
DERIVE = ("run", *NONE, "--pull", "never", "--userns=keep-id")


def forms(pyrun: CommandLine) -> list[list[str]]:
    return [sorted(os.listdir(layer)) for layer in (pyrun.root / "layers/sha256").iterdir()]


def nothing_is_left(pyrun: CommandLine) -> None:
    pyrun.ok("rm", "-f", "nobody-at-all")  # sweeps
    for place in ("tmp", "trash", "leases"):
        assert os.listdir(pyrun.root / place) == []


@pytest.mark.full
def test_a_layer_is_derived_by_several_at_once(pyrun: CommandLine, images: Catalogue) -> None:
    """While another removes the image's other name, prunes and checks."""
    for _ in range(5):
        pyrun.ok("pull", "-q", images.rich)
        pyrun.ok("tag", images.rich, "other:1")
        lines = [*[(*DERIVE, images.rich, "id", "-u")] * 4, ("rmi", "other:1"), ("image", "prune", "-f"), ("fsck",)]
        several = [pyrun.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for words in lines]
        told = [(process.communicate()[0], process.returncode) for process in several]
        assert [code for _, code in told] == [0] * len(several), told
        assert {text for text, _ in told[:4]} == {f"{os.getuid()}\n".encode()}
        for found in forms(pyrun):  # each with the image's own patch, where there is one
            derived = {name.replace("full", f"keep-{os.getuid()}-{os.getgid()}") for name in found if "full" in name}
            assert {name for name in found if "full" not in name} == derived
        assert damage(pyrun) == []
        nothing_is_left(pyrun)
        pyrun.ok("rmi", images.rich)
        assert forms(pyrun) == []


@pytest.mark.full
@pytest.mark.timeout(900)
def test_all_at_once(pyrun: CommandLine, images: Catalogue) -> None:
    """pull, tag, rmi, prune, manifest add, run and fsck: each tag that was set is there, and no blob has gone."""
    pyrun.ok("pull", "-q", images.busybox)
    pyrun.ok("manifest", "create", "localhost/list:1")
    scripts = [
        *(f"tag {images.busybox} localhost/{n}:$i; $P tag localhost/{n}:$i localhost/{n}-too:$i" for n in "abc"),
        f"pull -q {images.rich} >&2; $P rmi -f {images.rich} || true",
        "image prune -f",
        f"manifest add localhost/list:1 {images.busybox}",
        "fsck",
        "fsck",
    ]
    program = " ".join(pyrun.program)
    running = [
        subprocess.Popen(
            ["sh", "-ec", f'P="{program}"; for i in 1 2 3 4 5 6; do $P {script}; done'], env=pyrun.environment,
            cwd=pyrun.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for script in scripts
    ]  # fmt: skip
    told = [(process.communicate()[0].decode(), process.returncode) for process in running]
    assert [code for _, code in told] == [0] * len(running), told
    there = set(pyrun.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split())
    wanted = {f"localhost/{name}{more}:{i}" for name in "abc" for more in ("", "-too") for i in range(1, 7)}
    assert wanted <= there
    assert len(json.loads(pyrun.ok("manifest", "inspect", "localhost/list:1"))["manifests"]) == 1
    assert damage(pyrun) == []
    nothing_is_left(pyrun)
    pyrun.ok("pull", "-q", images.rich)
    pyrun.ok("run", *NONE, images.rich, "true")
