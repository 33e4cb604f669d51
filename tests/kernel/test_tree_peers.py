"""A rich layer, unpacked by pyrun-tree, GNU tar and umoci as root: the trees are equal entry by entry."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import tar_build as tar
from tests.support.tar_tree import snapshot, unpack

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root: owners and devices")


def _rich() -> bytes:
    """Many owners, set-id bits, capabilities, hard links, devices, long names, times before 1970, odd names."""
    members = [
        tar.directory(b"./", uid=0, gid=0),
        tar.directory(b"etc", uid=0, gid=0),
        tar.directory(b"tmp", 0o1777, mtime=5),
    ]
    for i in range(60):
        members.append(tar.directory(b"home/u%d" % i if i else b"home", 0o700 + i % 64, uid=i * 1000, gid=i * 7))
        if i:
            members.append(
                tar.file(b"home/u%d/f" % i, b"x" * i * 111, mode=0o400 + i, uid=i * 1000, gid=i * 7, mtime=i)
            )
    members += [
        tar.file(b"su", b"#!", mode=0o4755, uid=0, gid=0), tar.file(b"sg", b"#!", mode=0o2755, uid=1, gid=42),
        tar.pax({b"SCHILY.xattr.security.capability": CAPABILITY}), tar.file(b"ping", b"x", mode=0o755, uid=0, gid=0),
        tar.pax({b"SCHILY.xattr.user.note": b"\0binary\xff"}), tar.directory(b"noted", uid=5, gid=5),
        tar.hardlink(b"tmp/hard", b"su"), tar.hardlink(b"etc/hard2", b"./home/u3/f"),
        tar.header(b"null", b"3", device=(1, 3), mode=0o666),
        tar.header(b"loop", b"4", device=(7, 0), mode=0o660, gid=6), tar.header(b"fifo", b"6", mode=0o622),
        tar.symlink(b"absolute", b"/etc/passwd"), tar.symlink(b"dangling", b"../../../no/where"),
        tar.pax({b"path": b"long/" + b"n" * 240, b"mtime": b"-7.25"}), tar.file(b"short", b"long"),
        tar.pax({b"linkpath": b"t/" * 200 + b"x", b"mtime": b"99.000000001"}), tar.symlink(b"far", b"short"),
        tar.file(b"new\nline \xc3\xa4 \\ *", b"odd"), tar.file(b"tmp/big", os.urandom(3 << 20)),
    ]  # fmt: skip
    # The parent of a long name is listed: peers give implied directories other times.
    return tar.directory(b"long") + b"".join(members) + tar.END


@pytest.fixture(scope="module")
def rich() -> bytes:
    return _rich()


@pytest.fixture
def ours(tmp_path: Path, rich: bytes) -> dict[str, tuple[object, ...]]:
    (tmp_path / "ours").mkdir()
    result = unpack(rich, str(tmp_path / "ours"))
    assert result.status == 0, (result.entry, result.reason)
    return snapshot(str(tmp_path / "ours"))


def test_gnu_tar(tmp_path: Path, rich: bytes, ours: dict[str, tuple[object, ...]]) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    argv = [
        "tar",
        "xp",
        "--delay-directory-restore",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "-C",
        str(theirs),
    ]
    subprocess.run(argv, input=rich, check=True)
    assert ours == snapshot(str(theirs))


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_umoci(tmp_path: Path, rich: bytes, ours: dict[str, tuple[object, ...]]) -> None:
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    (tmp_path / "layer.tar").write_bytes(rich)
    for argv in (
        ["init", "--layout", str(layout)],
        ["new", "--image", f"{layout}:x"],
        ["raw", "add-layer", "--image", f"{layout}:x", str(tmp_path / "layer.tar")],
        ["unpack", "--image", f"{layout}:x", str(bundle)],
    ):
        subprocess.run(["umoci", *argv], check=True, capture_output=True)
    assert ours == snapshot(str(bundle / "rootfs"))
