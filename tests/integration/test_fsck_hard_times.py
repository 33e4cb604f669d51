"""fsck where things go wrong while it works, or cannot be written; and pulls, which must sync before they name."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_fsck import as_owner, check, damage, flip, tree_with
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")


def spoil(pyrun: CommandLine) -> None:
    """Damage a document, a blob, a layer and a record."""
    blobs = sorted((pyrun.root / "oci/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    flip(blobs[0], 3)
    flip(blobs[-1], 5000)
    as_owner(f"printf X >> {tree_with(pyrun, 'srv/set-gid')}/srv/set-gid")
    for record in (pyrun.root / "images").iterdir():
        flip(record, 40)


@pytest.mark.full
@pytest.mark.requires("strace")
def test_killed_at_every_change(box: Box, images: Catalogue) -> None:
    """Whatever `--repair` was about to change when it was killed: another one makes all of it right."""
    pyrun = box.pyrun
    pyrun.ok("pull", "-q", images.rich)
    box.start("up")  # it keeps the engine namespace: newuidmap(1) cannot be traced
    instants = 0
    for call in ("link", "rename", "mkdir", "syncfs", "unlink"):
        for when in range(1, 99):
            spoil(pyrun)
            status = _killed_repair(pyrun, call, when)
            found = check(pyrun, "--repair", code=0)
            assert all(item["Mended"] for item in found if item["Damage"]), (call, when, found)
            assert damage(pyrun) == [], (call, when)
            pyrun.ok("run", "--rm", "--network", "none", "--pull", "never", images.rich, "true")
            if status == 0:
                break
            instants += 1
    assert instants >= 10


def _killed_repair(pyrun: CommandLine, call: str, when: int) -> int:
    """Kill a repair at the n-th call of one of its threads or helpers; return its exit status, 0: there was none."""
    strace = ["strace", "-f", "-qqq", "-o", "/dev/null", "-e", "signal=none", "-e", f"trace={call}",
              "-e", f"inject={call}:signal=KILL:when={when}"]  # fmt: skip
    return subprocess.run(
        [*strace, *pyrun.program, "fsck", "--repair"], env=pyrun.environment, capture_output=True, check=False
    ).returncode


@pytest.mark.full
def test_two_repairs_at_once(pyrun: CommandLine, images: Catalogue) -> None:
    pyrun.ok("pull", "-q", images.rich)
    spoil(pyrun)
    both = [pyrun.popen("fsck", "--repair", stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert damage(pyrun) == []


def test_read_only(pyrun: CommandLine, images: Catalogue) -> None:
    """All is checked; nothing is written, and nothing can be mended."""
    pyrun.ok("pull", "-q", images.rich)
    root = pyrun.root
    script = f'mount --bind {root} {root}; mount -o remount,bind,ro {root}; exec "$@"'
    pyrun.program = [
        "unshare", "--map-root-user", "--map-auto", "--mount", "sh", "-ec", script, "sh", *pyrun.program
    ]  # fmt: skip
    assert check(pyrun, code=0) == []
    as_owner(f"chmod 0600 {tree_with(pyrun, 'srv/set-gid')}/srv/set-gid")
    assert len(damage(pyrun)) == 1
    assert "it is read-only" in pyrun.fails(1, "fsck", "--repair")
    pyrun.program = pyrun.program[-1:]


@pytest.mark.full
def test_no_room_to_repair(images: Catalogue, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        small.ok("pull", "-q", images.busybox)
        (busybox,) = small.disk.glob("layers/sha256/*/full/tree/bin/busybox")
        whole = busybox.read_bytes()
        busybox.write_bytes(whole[:-1] + b"X")
        small.fill(leave=4)
        done = small("fsck", "--repair")
        assert done.returncode == 1, done
        assert "not mended: cannot unpack layer" in done.stdout, done
        assert not list((small.disk / "tmp").iterdir())
        small.free()
        assert "unpacked again" in small.ok("fsck", "--repair")
        small.ok("fsck")


@pytest.mark.full
@pytest.mark.requires("strace")
def test_a_pull_syncs_before_it_names(pyrun: CommandLine, images: Catalogue, tmp_path: Path) -> None:
    """After a power loss a name must not lead to empty files: one syncfs(2), then names in blobs and layers."""
    box = pyrun("run", "-d", "--name", "up", "--network", "none", images.busybox, "sleep", "1000")
    assert box.returncode == 0, box.stderr
    trace = tmp_path / "trace"
    calls = "syncfs,rename,renameat,renameat2,link,linkat"
    strace = ["strace", "-f", "-qqq", "-o", str(trace), "-e", "signal=none", "-e", f"trace={calls}"]
    subprocess.run([*strace, *pyrun.program, "pull", "-q", images.rich], env=pyrun.environment, check=True)
    pyrun.ok("rm", "-f", "up")
    lines = trace.read_text().splitlines()
    named = [n for n, line in enumerate(lines) if re.search(r'"[^"]*/(oci/blobs|layers|images)/[^"]*"[^"]*$', line)]
    synced = [n for n, line in enumerate(lines) if re.search(r"syncfs\(\d+\) += 0|syncfs resumed.* = 0", line)]
    assert len(named) >= 8
    assert len(synced) == 1
    assert synced[0] < named[0], lines


@pytest.mark.full
@pytest.mark.requires("buildah")
def test_schema_2(pyrun: CommandLine, registry: str, images: Catalogue, tmp_path: Path) -> None:
    """An image that buildah made in docker's format keeps its bytes, and other tools can read it in the store."""
    buildah = ["buildah", "--root", str(tmp_path / "b"), "--runroot", str(tmp_path / "r"), "--storage-driver", "vfs"]
    (tmp_path / "file").write_text("x\n")

    def build(*words: str) -> str:
        return subprocess.run([*buildah, *words], check=True, capture_output=True, text=True).stdout.strip()

    container = build("from", "scratch")
    build("copy", container, str(tmp_path / "file"), "/file")
    build("commit", "--format", "docker", container, "made")
    name = f"{registry}/schema2:1"
    build("push", "--format", "v2s2", "--tls-verify=false", "made", f"docker://{name}")
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"], check=True, capture_output=True
    ).stdout
    assert json.loads(raw)["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    pyrun.ok("pull", "-q", name)
    (shown,) = json.loads(pyrun.ok("image", "inspect", name))[0]["RepoDigests"]
    original = pyrun.root / "oci/blobs/sha256" / shown.partition("@sha256:")[2]
    assert original.read_bytes() == raw
    assert check(pyrun, code=0) == []
    pyrun.ok("system", "prune", "-f")
    assert original.read_bytes() == raw
    for words in (["inspect", f"oci:{pyrun.root}/oci:{name}"],
                  ["copy", "-q", f"oci:{pyrun.root}/oci:{name}", f"dir:{tmp_path}/copy"]):  # fmt: skip
        subprocess.run(["skopeo", *words], check=True, capture_output=True)
    (converted,) = (pyrun.root / "images").iterdir()
    flip(pyrun.root / "oci/blobs/sha256" / converted.name.partition(":")[2], 9)
    flip(original, 9)
    told = [item["Mended"] for item in check(pyrun, "--repair", code=0)]
    assert any(text.startswith(f"fetched again from {registry}/schema2") for text in told), told
    assert any(text.startswith("made again from the original") for text in told), told
    assert damage(pyrun) == []
    pyrun.ok("tag", name, f"{registry}/again:1")
    pyrun.ok("push", "-q", f"{registry}/again:1")
    again = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/again:1"]
    assert subprocess.run(again, check=True, capture_output=True).stdout == raw
