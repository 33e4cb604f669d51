"""layers.view and layers.sidecar on directories made by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrun.errors import StoreCorruptError
from pyrun.layers import sidecar
from pyrun.layers.pyrun_tree import Report, failure
from pyrun.layers.view import View


@pytest.fixture
def low(tmp_path: Path) -> Path:
    low = tmp_path / "low"
    (low / "etc").mkdir(parents=True)
    (low / "usr/lib").mkdir(parents=True)
    (low / "etc/passwd").write_text("root:low")
    (low / "etc/gone").write_text("x")
    (low / "lib").symlink_to("usr/lib")
    (low / "usr/lib/x").write_text("lib")
    return low


@pytest.fixture
def high(tmp_path: Path) -> Path:
    high = tmp_path / "high"
    (high / "etc").mkdir(parents=True)
    (high / "etc/passwd").write_text("root:high")
    os.mknod(high / "etc/gone", 0o020000, 0)
    return high


@pytest.fixture
def view(low: Path, high: Path) -> View:
    return View([str(high), str(low)])


class TestView:
    def test_the_highest_wins(self, view: View) -> None:
        assert view.read("/etc/passwd", 100) == b"root:high"
        assert view.read("etc/../etc/./passwd", 4) == b"root"

    def test_whiteout(self, view: View) -> None:
        assert view.read("/etc/gone", 10) is None
        assert view.stat("/etc/gone") is None
        assert view.listdir("/etc") == ["passwd"]

    def test_whiteout_in_xattr_form(self, view: View, high: Path) -> None:
        (high / "usr").mkdir()
        (high / "usr/lib").touch()
        assert view.read("/usr/lib", 10) == b""
        os.setxattr(high / "usr/lib", "user.overlay.whiteout", b"")
        assert view.stat("/usr/lib") is None

    def test_opaque(self, view: View, high: Path) -> None:
        (high / "usr").mkdir()
        assert view.is_dir("/usr/lib")
        os.setxattr(high / "usr", "user.overlay.opaque", b"y")
        assert view.listdir("/usr") == []

    def test_file_over_directory_hides_it(self, view: View, high: Path) -> None:
        (high / "usr").write_text("file")
        assert view.read("/usr/lib/x", 10) is None

    def test_directory_between_file_and_directory(self, low: Path, high: Path, tmp_path: Path) -> None:
        top = tmp_path / "top"
        (top / "usr").mkdir(parents=True)
        (high / "usr").write_text("file")
        assert View([str(top), str(high), str(low)]).listdir("/usr") == []

    def test_upper_is_on_top(self, low: Path, high: Path) -> None:
        assert View([str(low)], str(high)).read("/etc/passwd", 100) == b"root:high"

    def test_links_stay_inside(self, view: View, high: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (high / "absolute").symlink_to(tmp_path / "secret")
        (high / "relative").symlink_to("../secret")
        (high / "dir").symlink_to(tmp_path)
        (high / "proc").symlink_to("/proc/self/root")
        (high / "etc/up").symlink_to("../../../../../lib/x")
        for path in ("/absolute", "/relative", "/dir/secret", "/proc/etc/hostname"):
            assert view.read(path, 10) is None
        assert view.read("/etc/up", 10) == b"lib"
        assert view.realpath("/lib/x") == "/usr/lib/x"

    def test_links_without_end(self, view: View, high: Path) -> None:
        (high / "a").symlink_to("b")
        (high / "b").symlink_to("a")
        assert view.read("/a", 10) is None
        found = view.stat("/a", follow=False)
        assert found is not None

    def test_only_regular_files_are_read(self, view: View, high: Path) -> None:
        os.mkfifo(high / "fifo")
        assert view.read("/fifo", 10) is None
        assert view.read("/etc", 10) is None

    def test_stat_of_directories_is_the_highest(self, view: View, high: Path, low: Path) -> None:
        os.chmod(high / "etc", 0o711)
        found = view.stat("/etc")
        assert found is not None
        assert found.st_mode & 0o777 == 0o711
        assert view.is_dir("/")
        assert not view.is_dir("/etc/passwd")

    def test_sources(self, view: View, high: Path, low: Path) -> None:
        assert view.sources("/etc") == [str(high / "etc"), str(low / "etc")]
        assert view.sources("/lib") == [str(low / "usr/lib")]
        assert view.sources("/etc/passwd") == []

    def test_no_descriptor_is_left(self, view: View) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for path in ("/etc/passwd", "/nothing/at/all", "/lib/x", "/etc/passwd/x", "/lib/../../etc"):
            view.read(path, 1)
            view.stat(path)
            view.listdir(path)
            view.sources(path)
            view.realpath(path)
        assert len(os.listdir("/proc/self/fd")) == before


class TestSidecar:
    def test_facts(self, tmp_path: Path) -> None:
        path = tmp_path / "sidecar"
        path.write_bytes(
            b"pyrun-layer 1\na\0implied uid=1 gid=2 mode=4755\0a/\xff\n\0"
            b"device=c:1:3 mode=666 uid=0 gid=0 mtime=1.000000000 xattr=757365722e78:00ff\0"
        )
        facts = sidecar.load(str(path))
        assert list(facts) == [b"a", b"a/\xff\n"]
        assert (facts[b"a"].uid, facts[b"a"].gid, facts[b"a"].mode, facts[b"a"].implied) == (1, 2, 0o4755, True)
        assert facts[b"a/\xff\n"].device == ("c", 1, 3)
        assert facts[b"a/\xff\n"].xattrs == {"user.x": b"\0\xff"}
        assert sidecar.implied(str(path)) == [b"a"]

    @pytest.mark.parametrize("data", [b"", b"pyrun-layer 2\n", b"pyrun-layer 1\na\0", b"pyrun-layer 1\na\0uid=x\0"])
    def test_what_is_none(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "sidecar").write_bytes(data)
        with pytest.raises(StoreCorruptError):
            sidecar.load(str(tmp_path / "sidecar"))


@pytest.mark.parametrize(
    ("data", "status", "name"),
    [
        (b"error\0unsafe\0entry\0x\0reason\0y\0", 1, "UnsafeLayerError"),
        (b"error\0limit\0entry\0x\0reason\0y\0", 1, "UnsafeLayerError"),
        (b"error\0full\0errno\x0028\0", 1, "StorageFullError"),
        (b"error\0full\0errno\x00122\0", 1, "StorageFullError"),
        (b"error\0system\0errno\x001\0syscall\0mknodat\0", 1, "SyscallError"),
        (b"", -9, "SyscallError"),
        (b"", 137, "SyscallError"),
    ],
)
def test_reports_become_errors(data: bytes, status: int, name: str) -> None:
    error = failure(Report(data), status, layer="sha256:1", path="/p")
    assert type(error).__name__ == name
    assert ("killed by signal 9" in str(error)) == (status in (-9, 137))
