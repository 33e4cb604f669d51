"""Small files without a digest carry a checksum: a flipped bit is seen, is never built upon, is put right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_fsck import damage, flip, repair

if TYPE_CHECKING:
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")


def _places(data: bytes, *texts: str) -> list[int]:
    return [data.index(text.encode()) + len(text) // 2 for text in texts]


def test_index(pyrun: CommandLine, images: Catalogue) -> None:
    pyrun.ok("pull", "-q", images.rich)
    path = pyrun.root / "oci/index.json"
    whole = path.read_bytes()
    assert json.loads(pyrun.ok("image", "inspect", images.rich))[0]["RepoDigests"]
    # What nothing else could tell: where it came from, and the checksum itself. All bits: tests/unit/test_sealed.py.
    for at in [12, *_places(whole, "org.pyrun.repo.digests")]:
        flip(path, at, 1)
        assert any("checksum" in problem for problem in damage(pyrun)), whole[at - 20 : at + 20]
        done = pyrun("tag", images.rich, "other:1")
        assert done.returncode == 1
        assert "fsck --repair" in done.stderr
        pyrun.ok("fsck", "--repair")
        assert path.read_bytes() == whole


def test_index_with_more_damage_keeps_where_images_came_from(pyrun: CommandLine, images: Catalogue) -> None:
    pyrun.ok("pull", "-q", images.rich)
    before = json.loads(pyrun.ok("image", "inspect", images.rich))[0]
    path = pyrun.root / "oci/index.json"
    path.write_bytes(path.read_bytes().replace(b"repo.digests", b"repo.dug-out"))
    assert damage(pyrun)
    repair(pyrun)
    after = json.loads(pyrun.ok("image", "inspect", images.rich))[0]
    assert after["RepoDigests"] == before["RepoDigests"]
    assert after["RepoTags"] == before["RepoTags"]


def test_containers(pyrun: CommandLine, images: Catalogue) -> None:
    pyrun.ok("pull", "-q", images.busybox)
    container = pyrun.ok("create", "--name", "box", "-e", "A=right", images.busybox, "sh", "-c", "echo $A").strip()
    directory = pyrun.root / "containers" / container
    assert "crc32" not in pyrun.ok("inspect", "box")
    files = {"config.json": "A=right", "rootfs.json": "lowerdirs", "container.json": "created"}
    before = {name: (directory / name).read_bytes() for name in files}
    for name, text in files.items():
        flip(directory / name, before[name].index(text.encode()), 1)
    told = damage(pyrun)
    assert all(any(name in problem and "checksum" in problem for problem in told) for name in files), told
    assert "checksum" in pyrun("rename", "box", "other").stderr
    assert "checksum" in pyrun("start", "-a", "box").stderr
    repair(pyrun)
    assert {name: (directory / name).read_bytes() for name in files} == before
    assert pyrun.ok("start", "-a", "box") == "right"
    pyrun.ok("rename", "box", "other")
    assert damage(pyrun) == []


def test_where_an_image_came_from(pyrun: CommandLine, images: Catalogue, tmp_path: Path) -> None:
    pyrun.ok("pull", "-q", images.rich)
    path = next(item for item in (pyrun.root / "signatures").iterdir() if not item.name.endswith(".verdict"))
    whole = path.read_bytes()
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "reject"}]}))
    run = (
        "run",
        "--rm",
        "--network",
        "none",
        "--pull",
        "never",
        "--signature-policy",
        str(policy),
        images.rich,
        "true",
    )
    flip(path, whole.index(b"docker"), 1)  # another transport has other scopes
    assert pyrun(*run).returncode == 125
    assert "signatures" in pyrun.ok("fsck", "--repair")
    assert path.read_bytes() == whole
    path.unlink()  # its name in index.json still tells that it was pulled
    done = pyrun(*run)
    assert done.returncode == 125
    assert "reject" in done.stderr
