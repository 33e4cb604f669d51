"""pyrun-tree remove and copy: nothing outside, nothing forgotten."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from pyrun.engine import namespace
from pyrun.errors import SyscallError
from pyrun.layers import pyrun_tree
from pyrun.store.layout import Layout
from tests.support.tar_tree import program, snapshot


def remove(*paths: Path) -> pyrun_tree.Report:
    return pyrun_tree.run(["remove", *map(str, paths)], spawn=pyrun_tree.spawn_here, program_path=program())


def copy(source: Path, target: Path, *options: str) -> pyrun_tree.Report:
    fds = [os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)]
    try:
        arguments = ["copy", "--from-fd", str(fds[0]), "--to-fd", str(fds[1]), *options]
        return pyrun_tree.run(arguments, spawn=pyrun_tree.spawn_here, pass_fds=fds, program_path=program())
    finally:
        for fd in fds:
            os.close(fd)


class TestRemove:
    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious/file").write_text("x")
        (tmp_path / "tree/sub").mkdir(parents=True)
        (tmp_path / "tree/sub/link").symlink_to(tmp_path / "precious")
        (tmp_path / "link").symlink_to(tmp_path / "precious")
        remove(tmp_path / "tree", tmp_path / "link")
        assert sorted(os.listdir(tmp_path)) == ["precious"]
        assert (tmp_path / "precious/file").exists()

    def test_whatever_the_modes(self, tmp_path: Path) -> None:
        (tmp_path / "tree/a/b").mkdir(parents=True)
        (tmp_path / "tree/a/b/f").touch()
        os.chmod(tmp_path / "tree/a/b", 0)
        os.chmod(tmp_path / "tree/a", 0o500)
        os.chmod(tmp_path / "tree", 0o111)
        remove(tmp_path / "tree")
        assert os.listdir(tmp_path) == []

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        assert remove(tmp_path / "nothing", tmp_path / "no/where").number("removed") == 0

    def test_deeper_than_descriptors_and_paths(self, tmp_path: Path) -> None:
        fd = os.open(tmp_path, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("deep", dir_fd=fd)
            next_fd = os.open("deep", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = next_fd
        os.close(fd)
        remove(tmp_path / "deep")
        assert os.listdir(tmp_path) == []

    def test_beside_another_remover(self, tmp_path: Path) -> None:
        for i in range(2000):
            (tmp_path / f"tree/{i % 40}/{i % 7}").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"tree/{i % 40}/{i % 7}/{i}").touch()
        argv = [program(), "remove", str(tmp_path / "tree")]
        started = [subprocess.Popen(argv) for _ in range(4)]
        assert [one.wait() for one in started] == [0] * 4
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("name", ["/", ".", "a/.."])
    def test_refuses_what_nobody_means(self, tmp_path: Path, name: str) -> None:
        done = subprocess.run([program(), "remove", name], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, b"refusing" in done.stderr) == (2, True)

    def test_what_cannot_be_removed_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(SyscallError) as raised:
            remove(Path("/proc/self/status"))
        assert (raised.value.syscall, raised.value.path) == ("unlinkat", "/proc/self/status")

    def test_mounts_are_not_crossed(self, tmp_path: Path) -> None:
        # A bind mount of the same file system: st_dev does not tell it.
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious/file").write_text("x")
        (tmp_path / "tree/mnt").mkdir(parents=True)
        script = 'mount --bind "$0/precious" "$0/tree/mnt" && exec "$1" remove "$0/tree"'
        wrap = ["unshare", "-rm"] if os.geteuid() else ["unshare", "-m"]
        done = subprocess.run(
            [*wrap, "sh", "-c", script, str(tmp_path), program()], capture_output=True, text=True, check=False
        )
        if "unshare" in done.stderr:
            pytest.skip("userns")
        assert (done.returncode, "busy" in done.stderr) == (1, True)
        assert (tmp_path / "precious/file").read_text() == "x"

    def test_what_is_the_user_s_takes_no_namespace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def spawner(_layout: Layout) -> NoReturn:
            raise AssertionError("the engine namespace was entered")

        monkeypatch.setattr(namespace, "spawner", spawner)
        (tmp_path / "tree/a").mkdir(parents=True)
        (tmp_path / "tree/a/f").touch()
        namespace.remove(Layout(str(tmp_path), str(tmp_path)), [str(tmp_path / "tree")])
        assert os.listdir(tmp_path) == []
        with pytest.raises(AssertionError):
            namespace.remove(Layout(str(tmp_path), str(tmp_path)), ["/proc/self/status"])


class TestCopy:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        source = tmp_path / "source"
        (source / "d").mkdir(parents=True)
        (source / "d/f").write_bytes(os.urandom(100000))
        os.link(source / "d/f", source / "hard")
        os.symlink("d/f", source / "soft")
        os.mkfifo(source / "pipe")
        os.setxattr(source / "d", "user.x", b"1")
        os.chmod(source / "d", 0o1777)
        with open(source / "holes", "wb") as file:
            file.truncate(50 << 20)
            file.seek(30 << 20)
            file.write(b"data")
        os.utime(source / "d", ns=(5, 123456789))
        return source

    def test_keeps_everything(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.mkdir()
        copy(source, target)
        assert snapshot(str(target), directory_links=True) == snapshot(str(source), directory_links=True)
        assert (target / "holes").stat().st_blocks < 1000

    def test_no_clobber_leaves_what_is_there(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.mkdir()
        (target / "mine").touch()
        before = snapshot(str(target))
        assert copy(source, target, "--no-clobber").number("skipped") == 1
        assert snapshot(str(target)) == before

    def test_layers_lowest_first_make_the_merged_tree(self, tmp_path: Path) -> None:
        low, high, target = (tmp_path / name for name in ("low", "high", "target"))
        for path in (low / "a", low / "b", high / "a", high / "b", target):
            path.mkdir(parents=True)
        for name in ("a/old", "a/gone", "b/hidden", "f"):
            (low / name).write_text("low")
        (high / "a/new").write_text("high")
        os.mknod(high / "a/gone", 0o020000, 0)
        os.setxattr(high / "b", "user.overlay.opaque", b"y")
        (high / "f").mkdir()
        copy(low, target, "--overlay")
        copy(high, target, "--overlay")
        assert sorted(snapshot(str(target))) == [".", "a", "a/new", "a/old", "b", "f"]
        assert os.listxattr(target / "b") == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners of other ids")
    def test_map_shifts_owners(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.mkdir()
        os.chown(source / "d/f", 7, 8)
        copy(source, target, "--map", "b:0:100000:1", "--map", "u:1:200000:100", "--map", "g:1:300000:100")
        assert ((target / "d/f").stat().st_uid, (target / "d/f").stat().st_gid) == (200006, 300007)
        assert ((target / "d").stat().st_uid, (target / "d").stat().st_gid) == (100000, 100000)
