"""Archives that are odd, not wrong, beside GNU tar: names, numbers and ends as some writer somewhere makes them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import tar_build as tar
from tests.support.tar_tree import snapshot, unpack, verify

pytestmark = pytest.mark.root


def ours(tmp_path: Path, archive: bytes) -> Path:
    dest = tmp_path / "ours"
    dest.mkdir()
    result = unpack(archive, str(dest), sidecar=str(tmp_path / "sidecar"))
    assert result.status == 0, (result.entry, result.reason)
    assert verify(archive, str(dest), sidecar=str(tmp_path / "sidecar")) == []
    return dest


def refusal(tmp_path: Path, archive: bytes) -> tuple[str, str]:
    (tmp_path / "ours").mkdir()
    result = unpack(archive, str(tmp_path / "ours"))
    assert result.status == 1
    return result.entry, result.reason


LONG = b"n" * 255
AS_GNU_TAR = {
    "a name of 255 bytes": tar.pax({b"path": LONG}) + tar.file(b"short", b"1"),
    "names that are no UTF-8": tar.file(b"\xff\xfe\x80", b"1") + tar.symlink(b"l\xe9", b"\xff\xfe\x80"),
    "control characters": tar.file(b"a\x1b[31m\x07\x7f", b"1"),
    "a time before 1970, base 256": tar.header(b"old", mtime=0, extra={136: b"\xff" * 12}),
    "a time before 1970, pax": tar.pax({b"mtime": b"-0.5"}) + tar.file(b"old"),
    "a size in base 256": tar.header(b"f", size=tar.base256(3, 12)) + tar.pad(b"abc"),
    "a file, a directory, a file": tar.file(b"x", b"1") + tar.hardlink(b"y", b"x") + tar.file(b"x", b"2"),
    "dots and slashes": tar.directory(b"./a//./b/") + tar.file(b".///a/./b/./c", b"1"),
    "a global header without use": tar.pax({b"comment": b"0" * 40}, b"g") + tar.file(b"f", b"1"),
    "a global time": tar.pax({b"mtime": b"7"}, b"g") + tar.file(b"f", b"1"),
    "old GNU names of a volume": tar.header(b"label", b"V") + tar.file(b"f", b"1"),
    "a contiguous file": tar.header(b"f", b"7", size=3) + tar.pad(b"abc"),
}  # fmt: skip


@pytest.mark.parametrize("what", AS_GNU_TAR)
def test_as_gnu_tar(tmp_path: Path, what: str) -> None:
    archive = AS_GNU_TAR[what] + tar.END
    dest, theirs = ours(tmp_path, archive), tmp_path / "theirs"
    theirs.mkdir()
    # It says of a label that it is one, by a name of its own.
    subprocess.run(["tar", "xp", "--numeric-owner", "-C", str(theirs)], input=archive, check=True, capture_output=True)
    left, right = snapshot(str(dest)), snapshot(str(theirs))
    for implied in [path for path, facts in left.items() if str(facts[0]).startswith("0o4")]:
        left.pop(implied)
        right.pop(implied)  # its time is that of the unpacking
    assert left == right


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(10240)])
def test_ends(tmp_path: Path, end: bytes) -> None:
    assert sorted(os.listdir(ours(tmp_path, tar.file(b"f", b"1") + end))) == ["f"]


@pytest.mark.parametrize("archive", [b"", tar.END, bytes(512), tar.pax({b"comment": b"x"}, b"g") + tar.END])
def test_empty(tmp_path: Path, archive: bytes) -> None:
    assert os.listdir(ours(tmp_path, archive)) == []


@pytest.mark.parametrize(("archive", "entry", "reason"), [
    (tar.pax({b"path": LONG + b"n"}) + tar.file(b"x"), "n" * 256, "more than 255 bytes"),
    (tar.pax({b"linkpath": LONG + b"n"}) + tar.hardlink(b"h", b"x"), "h", "more than 255 bytes"),
    (tar.file(b"a") + tar.file(b".wh.b") + tar.hardlink(b"c", b"b"), "c", "a directory or a whiteout"),
    (tar.header(b"f", size=tar.base256(1 << 80, 12)), "f", "impossible size"),
    (tar.header(b"f", mtime=0, extra={136: b"\x80" + b"\xff" * 11}), "f", "impossible time"),
    (tar.header(b"c", b"3", device=(1 << 13, 0)), "c", "impossible device number"),
    (tar.pax({b"GNU.sparse.major": b"2", b"GNU.sparse.minor": b"0"}) + tar.file(b"f"), "f", "unknown form 2.0"),
    (tar.pax({b"GNU.sparse.offset": b"0", b"GNU.sparse.size": b"9"}) + tar.file(b"f"), "f", "incomplete"),
])  # fmt: skip
def test_refused_by_name(tmp_path: Path, archive: bytes, entry: str, reason: str) -> None:
    told = refusal(tmp_path, archive + tar.END)
    assert told[0] == entry
    assert reason in told[1]


@pytest.mark.parametrize("size", [4096, 4097])
def test_the_longest_path(tmp_path: Path, size: int) -> None:
    """No name of more than one component goes to the kernel, so PATH_MAX, which counts a NUL, is no limit of ours."""
    archive = tar.pax({b"path": (b"d" * 127 + b"/") * 31 + b"f" * (size - 3968)}) + tar.file(b"x", b"1") + tar.END
    if size == 4096:
        assert verify(archive, str(ours(tmp_path, archive))) == []
    else:
        assert "longer than 4096 bytes" in refusal(tmp_path, archive)[1]


def test_a_whiteout_of_the_directory_that_is_being_filled(tmp_path: Path) -> None:
    archive = tar.directory(b"d") + tar.file(b"d/one") + tar.file(b".wh.d") + tar.file(b"d/two") + tar.END
    dest = ours(tmp_path, archive)
    assert sorted(os.listdir(dest / "d")) == ["one", "two"]
    assert os.getxattr(dest / "d", "user.overlay.opaque") == b"y"


def test_a_directory_that_becomes_a_file_and_one_again(tmp_path: Path) -> None:
    archive = (
        tar.directory(b"x/deep") + tar.file(b"x/deep/f") + tar.file(b"x", b"1") + tar.directory(b"x", 0o700)
        + tar.file(b"x/g") + tar.END
    )  # fmt: skip
    assert os.listdir(ours(tmp_path, archive) / "x") == ["g"]
