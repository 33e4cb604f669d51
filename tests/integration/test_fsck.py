"""fsck finds every kind of damage, --repair makes it right again, and nothing is deleted."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")


@pytest.fixture
def store(pyrun: CommandLine, images: Catalogue) -> CommandLine:
    pyrun.ok("pull", "-q", images.rich)
    return pyrun


def check(pyrun: CommandLine, *options: str, code: int | None = None) -> list[dict[str, Any]]:
    done = pyrun("fsck", "--format", "json", *options)
    assert "Traceback" not in done.stderr, done.stderr
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["Clean"] else 1)
    assert code is None or done.returncode == code, document
    found: list[dict[str, Any]] = document["Findings"]
    return found


def damage(pyrun: CommandLine, *options: str) -> list[str]:
    return [f"{item['Kind']} {item['Subject']}: {item['Problem']}" for item in check(pyrun, *options) if item["Damage"]]


def repair(pyrun: CommandLine) -> list[dict[str, Any]]:
    """Repair; all that is found must be mended, and nothing be found afterwards."""
    found = check(pyrun, "--repair", code=0)
    assert all(item["Mended"] for item in found if item["Damage"]), found
    assert damage(pyrun) == []
    return found


def as_owner(script: str) -> None:
    """Do what only the owners of a layer's files may."""
    subprocess.run(["unshare", "--map-root-user", "--map-auto", "sh", "-ec", script], check=True)


def flip(path: Path, at: int, bit: int = 0) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    path.chmod(mode & 0o7777)


def trees(pyrun: CommandLine, form: str = "full") -> Iterator[Path]:
    return pyrun.root.glob(f"layers/sha256/*/{form}/tree")


def tree_with(pyrun: CommandLine, name: str, form: str = "full") -> Path:
    for tree in trees(pyrun, form):
        done = subprocess.run(
            ["unshare", "--map-root-user", "--map-auto", "test", "-e", f"{tree}/{name}", "-o", "-L", f"{tree}/{name}"],
            check=False,
        )
        if done.returncode == 0:
            return tree
    raise AssertionError(name)


def test_clean(store: CommandLine) -> None:
    assert check(store, code=0) == []
    assert check(store, "--quick", code=0) == []
    assert store.ok("system", "check").startswith("no damage: 1 images, 4 layers, 4 blobs of ")


class TestLayers:
    def test_every_kind_of_difference(self, store: CommandLine) -> None:
        base = tree_with(store, "bin/busybox")
        as_owner(f"""
            cd {base}; printf X | dd of=bin/busybox bs=1 seek=5000 conv=notrunc status=none
            chmod 0640 etc/passwd; chown 7:8 etc/group; touch bin/strange; rm bin/ls; mkdir etc/more
        """)
        found = damage(store)
        told = "\n".join(found)
        for problem in (
            "/bin/busybox has other content", "/etc/passwd has mode 0640, not 0644",
            "/etc/group has owner 7:8, not 0:0", "/bin/strange is not in its archive", "/bin/ls is missing",
            "/etc/more is not in its archive",
        ):  # fmt: skip
            assert problem in told, told
        mended = repair(store)
        assert any("unpacked again from its blob" in item["Mended"] for item in mended)
        assert any(item["Kind"] == "quarantined" for item in check(store))
        assert store.ok("fsck", "--drop-quarantine")
        assert check(store, code=0) == []


class TestDocuments:
    def test_each_file_of_json(self, store: CommandLine) -> None:
        files = [store.root / name for name in ("version", "oci/oci-layout", "oci/index.json")]
        files += (store.root / "images").iterdir()
        for path in files:
            whole = path.read_bytes()
            for at in (0, len(whole) // 2, len(whole) - 3):
                flip(path, at)
                found = [item for item in check(store) if item["Kind"] not in ("quarantined", "orphan")]
                assert found, (path, at)
                if any(item["Damage"] for item in found):
                    check(store, "--repair", code=0)
                path.write_bytes(whole)
            assert damage(store) == [], path

    def test_blobs_are_fetched_again(self, store: CommandLine) -> None:
        for path in sorted((store.root / "oci/blobs/sha256").iterdir()):
            flip(path, 0)
            flip(path, path.stat().st_size // 2, bit=5)
            flip(path, path.stat().st_size - 1, bit=7)
        found = check(store, "--repair")
        assert all("fetched again from" in item["Mended"] for item in found if item["Kind"] == "blob"), found
        assert damage(store) == []
