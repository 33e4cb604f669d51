"""pyrun-tree works on trees that are in use: it packs them, unpacks into them, and says what they have changed."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from pyrun.layers import pyrun_tree
from tests.support import tar_build as tar
from tests.support.features import requires
from tests.support.tar_tree import Result, program, snapshot, unpack

# It gives files to other owners; an ordinary user does that in the engine namespace (tests/integration/test_cp.py).
root = pytest.mark.root
MTIME = (1_600_000_000_123_456_789, 1_600_000_000_123_456_789)


def run(verb: str, *arguments: str, fds: tuple[int, ...] = (), code: int = 0) -> tuple[bytes, pyrun_tree.Report]:
    """Run a verb that writes to standard output; return that and its report."""
    read_end, write_end = os.pipe()
    words = [program(sanitized=True), verb, "--report-fd", str(write_end), *arguments]
    done = subprocess.run(words, capture_output=True, pass_fds=[write_end, *fds], check=False)
    os.close(write_end)
    report = pyrun_tree.read_report(read_end)
    os.close(read_end)
    assert done.returncode == code, (done.stderr, report.values)
    return done.stdout, report


def pack(top: Path, path: str = "/", name: str = ".", *more: str) -> bytes:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return run("pack", "--root-fd", str(fd), "--path", path, "--name", name, *more, fds=(fd,))[0]
    finally:
        os.close(fd)


def members(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def changes(*arguments: str) -> list[str]:
    return [line.decode() for line in run("changes", "--list", *arguments)[0].split(b"\0") if line]


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """A tree with everything that an archive can say; devices and owners where root makes it."""
    top = tmp_path / "rich"
    (top / "d" / "sub").mkdir(parents=True)
    (top / "d" / "file").write_bytes(bytes(range(256)) * 1000)
    os.link(top / "d" / "file", top / "z-again")
    (top / "empty").touch()
    (top / ("n" * 200)).write_text("long name")
    deep = top / ("p" * 120) / ("q" * 120) / ("r" * 120)
    deep.mkdir(parents=True)
    (deep / "file").write_text("long path")
    (top / "link").symlink_to("d/file")
    (top / "long-link").symlink_to("x/" * 150)
    os.mkfifo(top / "fifo")
    (top / "föö\udcff").write_text("no UTF-8")
    (top / "modes").touch()
    os.chmod(top / "modes", 0o6755)
    os.chmod(top / "d" / "sub", 0o1777)
    os.setxattr(top / "d" / "file", "user.b", b"\0binary\n=\xff")
    os.setxattr(top / "d" / "file", "user.a", b"")
    os.setxattr(top / "d", "user.overlay.opaque", b"y")
    os.utime(top / "empty", ns=(-1_250_000_000, -1_250_000_000))
    if os.geteuid() == 0:
        os.mknod(top / "device", 0o20600, os.makedev(1, 3))
        os.chown(top / "device", 3_000_000, 12)
        os.chown(top / "link", 5, 6, follow_symlinks=False)
    for one in sorted(top.rglob("*"), reverse=True):
        if one.name != "empty":
            os.utime(one, ns=MTIME, follow_symlinks=False)
    os.utime(top, ns=MTIME)
    return top


def without_marks(found: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    def plain(value: object) -> object:
        return (
            {k: v for k, v in value.items() if not k.startswith("user.overlay.")} if isinstance(value, dict) else value
        )

    return {name: tuple(plain(value) for value in facts) for name, facts in found.items()}


class TestPack:
    @root
    def test_unpacked_again_it_is_the_same(self, rich: Path, tmp_path: Path) -> None:
        (tmp_path / "again").mkdir()
        result = unpack(pack(rich), str(tmp_path / "again"))
        assert result.status == 0, result.reason
        assert snapshot(str(tmp_path / "again")) == without_marks(snapshot(str(rich)))

    @root
    @requires("tar")
    def test_gnu_tar_reads_it(self, rich: Path, tmp_path: Path) -> None:
        (tmp_path / "again").mkdir()
        words = ["tar", "--xattrs", "--xattrs-include=*", "-xpf", "-", "-C", str(tmp_path / "again")]
        subprocess.run(words, input=pack(rich), check=True)
        expected = without_marks(snapshot(str(rich)))
        found = snapshot(str(tmp_path / "again"))
        assert {name: facts[:8] for name, facts in found.items()} == {name: f[:8] for name, f in expected.items()}

    def test_python_reads_it(self, rich: Path) -> None:
        with tarfile.open(fileobj=io.BytesIO(pack(rich, "/", "top"))) as archive:
            found = {member.name: member for member in archive}
        assert found["top/d/file"].pax_headers["SCHILY.xattr.user.a"] == ""
        assert found["top/z-again"].islnk()
        assert found["top/z-again"].linkname == "top/d/file"
        assert found["top/empty"].mtime == -1.25
        assert found["top/long-link"].linkname == "x/" * 150
        assert "top/" + "/".join(c * 120 for c in "pqr") + "/file" in found
        assert not [key for member in found.values() for key in member.pax_headers if "overlay" in key]

    def test_same_bytes_each_time(self, rich: Path) -> None:
        first = pack(rich)
        for path in rich.rglob("*"):
            if path.is_file():
                path.read_bytes()  # a new time of access
        assert pack(rich) == first
        assert members(first) == sorted(
            members(first), key=lambda name: name.encode("utf-8", "surrogateescape").split(b"/")
        )

    def test_ids_are_mapped(self, rich: Path) -> None:
        own = str(os.geteuid())
        data = pack(rich, "/d", "d", "--map", f"b:{own}:70000:1")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert {member.uid for member in archive} == {70000}
        huge = pack(rich, "/empty", "e", "--map", f"u:{own}:3000000:1")
        with tarfile.open(fileobj=io.BytesIO(huge)) as archive:
            assert [member.uid for member in archive] == [3_000_000]

    def test_links_on_the_way_stay_inside(self, rich: Path) -> None:
        (rich / "up").symlink_to("../../../../d")
        (rich / "abs").symlink_to("/d")
        for path in ("/up/file", "/abs/file", "/abs/../d/file"):
            path = path.replace("/abs/../d", "/d")
            assert members(pack(rich, path, "f")) == ["f"]

    def test_what_is_not_there(self, rich: Path) -> None:
        fd = os.open(rich, os.O_RDONLY | os.O_DIRECTORY)
        for path in ("/nosuch", "/d/file/x", "/nosuch/x"):
            _, report = run("pack", "--root-fd", str(fd), "--path", path, "--name", "x", fds=(fd,), code=1)
            assert report.number("errno") == 2
        os.close(fd)

    def test_a_socket_is_left_out(self, tmp_path: Path) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "socket"))
        (tmp_path / "file").touch()
        assert members(pack(tmp_path, "/", "t")) == ["t", "t/file"]


def put(dest: Path, data: bytes, *options: str, into: str = "") -> Result:
    """Unpack into a tree in use, as whoever we are."""
    return unpack(data + tar.END, str(dest), "--into", into, "--owner", "self", *options)


class TestUnpack:
    def test_marks_are_names(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        assert put(tmp_path, tar.file(b".wh.x", b"plain") + tar.file(b".wh..wh..opq")).status == 0
        assert sorted(os.listdir(tmp_path)) == [".wh..wh..opq", ".wh.x", "x"]
        assert os.listxattr(tmp_path) == []

    def test_what_is_there_stays_as_it_is(self, tmp_path: Path) -> None:
        os.chmod(tmp_path, 0o750)
        (tmp_path / "d").mkdir(mode=0o700)
        (tmp_path / "d" / "old").write_text("old")
        os.utime(tmp_path / "d", ns=MTIME)
        assert put(tmp_path, tar.directory(b".", 0o777) + tar.file(b"d/new", b"new")).status == 0
        assert sorted(os.listdir(tmp_path / "d")) == ["new", "old"]
        assert tmp_path.stat().st_mode & 0o777 == 0o750
        assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700

    def test_a_listed_directory_gets_its_mode(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir(mode=0o700)
        assert put(tmp_path, tar.directory(b"d", 0o2755)).status == 0
        assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o2755

    def test_under_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "abs").symlink_to("/a")
        data = tar.directory(b"./", 0o700) + tar.file(b"f", b"1") + tar.hardlink(b"g", b"f")
        assert put(tmp_path, data, into="/abs/b").status == 0
        assert (tmp_path / "a/b/f").read_text() == (tmp_path / "a/b/g").read_text() == "1"

    def test_links_stay_inside(self, tmp_path: Path) -> None:
        inside, outside = tmp_path / "in", tmp_path / "out"
        for made in (inside, outside, inside / str(outside).lstrip("/")):
            made.mkdir(parents=True)
        (inside / "abs").symlink_to(outside)
        (inside / "up").symlink_to("../../../../../../.." + str(outside))
        assert put(inside, tar.file(b"abs/one", b"1") + tar.file(b"up/two", b"2")).status == 0
        assert os.listdir(outside) == []
        assert sorted(os.listdir(inside / str(outside).lstrip("/"))) == ["one", "two"]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (tar.file(b"d", b"x"), "cannot overwrite directory with non-directory"),
            (tar.symlink(b"d", b"x"), "cannot overwrite directory with non-directory"),
            (tar.hardlink(b"d", b"f"), "cannot overwrite directory with non-directory"),
            (tar.directory(b"f"), "cannot overwrite non-directory with directory"),
            (tar.directory(b"l"), "cannot overwrite non-directory with directory"),
            (tar.file(b"../f", b"x"), 'name has a ".." component'),
            (tar.file(b"f/x", b"x"), "leads through f, which is no directory"),
            (tar.hardlink(b"new", b"nosuch"), "hard link to nosuch, which this layer does not have"),
        ],
    )
    def test_refusals(self, tmp_path: Path, data: bytes, reason: str) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "f").write_text("old")
        (tmp_path / "l").symlink_to("d")
        result = put(tmp_path, data)
        assert (result.status, result.error) == (1, "unsafe")
        assert reason in result.reason
        assert (tmp_path / "f").read_text() == "old"

    @root
    def test_owners(self, tmp_path: Path) -> None:
        data = tar.directory(b"d", uid=5, gid=6) + tar.file(b"d/f", b"x", uid=7, gid=8)
        assert unpack(data + tar.END, str(tmp_path), "--into", "", "--owner", "11:12").status == 0
        assert (os.stat(tmp_path / "d").st_uid, os.stat(tmp_path / "d/f").st_gid) == (11, 12)
        assert unpack(data + tar.END, str(tmp_path), "--into", "", "--map", "b:0:100:50").status == 0
        assert (os.stat(tmp_path / "d").st_uid, os.stat(tmp_path / "d/f").st_gid) == (105, 108)
        result = unpack(data + tar.END, str(tmp_path), "--into", "", "--map", "b:0:100:6")
        assert result.reason == "owner 7:8 does not exist in the container"

    @requires("strace")
    def test_cve_2018_15664_a_mode_by_name(self, tmp_path: Path) -> None:
        """A pipe is made, and before it gets its mode the container puts a link in its place."""
        victim, dest = tmp_path / "victim", tmp_path / "dest"
        victim.touch(mode=0o600)
        dest.mkdir()

        def attack() -> None:
            while not os.path.lexists(dest / "fifo"):
                os.sched_yield()
            os.symlink(victim, dest / "link")
            os.rename(dest / "link", dest / "fifo")

        attacker = threading.Thread(target=attack)
        attacker.start()
        strace = ["strace", "-o", "/dev/null", "-e", "trace=mknodat", "-e", "inject=mknodat:delay_exit=300000"]
        data = tar.header(b"fifo", b"6", mode=0o6777) + tar.END
        unpack(data, str(dest), "--into", "", "--owner", "self", wrap=strace)
        attacker.join()
        assert (dest / "fifo").is_symlink()
        assert victim.stat().st_mode & 0o7777 == 0o600


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    """An upper directory over one layer, both empty."""
    for name in ("upper", "lower"):
        (tmp_path / name).mkdir()
    return tmp_path / "upper", tmp_path / "lower"


def over(layers: tuple[Path, Path], *more: str, kind: str = "--upper") -> list[str]:
    return [*more, kind, str(layers[0]), "--layer", str(layers[1]), ""]


class TestChanges:
    def test_kinds(self, layers: tuple[Path, Path]) -> None:
        upper, lower = layers
        for name in ("kept", "changed", "removed", "d/kept", "d/removed"):
            (lower / name).parent.mkdir(exist_ok=True)
            (lower / name).write_text(name)
        (upper / "d").mkdir()
        (upper / "d/new").touch()
        (upper / "changed").touch()
        os.mknod(upper / "removed", 0o20000, 0)
        os.mknod(upper / "d/removed", 0o20000, 0)
        os.mknod(upper / "never", 0o20000, 0)  # overlay leaves such marks in directories that it has just made
        assert changes(*over(layers)) == ["C /changed", "C /d", "A /d/new", "D /d/removed", "D /removed"]

    def test_directories_on_the_way(self, layers: tuple[Path, Path]) -> None:
        """A directory that is only there because something below it was opened for writing is no change."""
        upper, lower = layers
        for top in layers:
            (top / "a/b/c").mkdir(parents=True)
        assert changes(*over(layers)) == []
        os.chmod(upper / "a/b", 0o700)
        assert changes(*over(layers)) == ["C /a", "C /a/b"]
        os.chmod(lower / "a/b", 0o700)
        os.setxattr(upper / "a/b/c", "user.x", b"y")
        assert changes(*over(layers)) == ["C /a", "C /a/b", "C /a/b/c"]

    def test_opaque(self, layers: tuple[Path, Path]) -> None:
        upper, lower = layers
        (lower / "d/sub").mkdir(parents=True)
        (lower / "d/sub/x").touch()
        (lower / "d/y").touch()
        (upper / "d/sub").mkdir(parents=True)
        (upper / "d/sub/new").touch()
        (upper / "n").mkdir()
        for name in ("d", "n"):  # overlay marks every directory that it makes
            os.setxattr(upper / name, "user.overlay.opaque", b"y")
        assert changes(*over(layers)) == ["C /d", "C /d/sub", "A /d/sub/new", "D /d/sub/x", "D /d/y", "A /n"]
        layer, _ = run("changes", *over(layers))
        assert members(layer) == ["d", "d/.wh..wh..opq", "d/sub", "d/sub/new", "n"]

    def test_another_kind(self, layers: tuple[Path, Path]) -> None:
        upper, lower = layers
        (lower / "d").mkdir()
        (lower / "d/x").touch()
        (lower / "f").touch()
        (upper / "f").mkdir()
        (upper / "f/x").touch()
        (upper / "d").touch()
        assert changes(*over(layers)) == ["C /d", "C /f", "A /f/x"]

    def test_ignored(self, layers: tuple[Path, Path]) -> None:
        (layers[0] / "etc").mkdir()
        (layers[1] / "etc").mkdir()
        (layers[0] / "etc/hosts").touch()
        (layers[0] / "dev/x").mkdir(parents=True)
        assert changes(*over(layers, "--ignore", "etc/hosts", "--ignore", "dev")) == []

    def test_marks_of_fuse_overlayfs(self, layers: tuple[Path, Path]) -> None:
        upper, lower = layers
        for name in ("a", "d/x", "o/x"):
            (lower / name).parent.mkdir(exist_ok=True)
            (lower / name).touch()
        (upper / ".wh.a").touch()
        (upper / "d").mkdir()
        (upper / "d/.wh.x").touch()
        (upper / "o").mkdir()
        (upper / "o/.wh..wh..opq").touch()
        assert changes(*over(layers, kind="--fuse")) == ["D /a", "C /d", "D /d/x", "C /o", "D /o/x"]
        # To the kernel's overlay they are names like others, which no layer can hold.
        assert changes(*over(layers))[0] == "A /.wh.a"
        _, report = run("changes", *over(layers), code=1)
        assert report.text("reason") == "a layer cannot hold a name that begins with .wh."

    def test_a_copied_tree(self, layers: tuple[Path, Path]) -> None:
        """What was copied has other times of change; a restored time of modification hides nothing."""
        tree, lower = layers
        for name in ("kept", "removed", "d/kept", "d/removed", "sly"):
            (lower / name).parent.mkdir(exist_ok=True)
            (lower / name).write_text(name)
        subprocess.run(["cp", "-a", f"{lower}/.", str(tree)], check=True)
        copied = max((tree / name).stat().st_ctime_ns for name in ("kept", "removed", "d/kept", "sly"))
        stamp = f"{copied // 10**9}.{copied % 10**9:09}"
        arguments = ["--copied", stamp, "--tree", str(tree), "--layer", str(lower), ""]
        assert changes(*arguments) == []
        while (tree / "new").exists() is False or (tree / "new").stat().st_ctime_ns <= copied:
            (tree / "new").write_text("new")  # the kernel's clock for files has a resolution of some milliseconds
        before = (tree / "sly").stat()
        (tree / "sly").write_text("yls")
        os.utime(tree / "sly", ns=(before.st_atime_ns, before.st_mtime_ns))
        (tree / "removed").unlink()
        (tree / "d/removed").unlink()
        assert changes(*arguments) == ["C /d", "D /d/removed", "A /new", "D /removed", "C /sly"]

    def test_no_change_is_no_archive(self, layers: tuple[Path, Path]) -> None:
        assert run("changes", *over(layers))[0] == b""


class TestExport:
    def test_layers_as_one(self, layers: tuple[Path, Path]) -> None:
        upper, lower = layers
        for name in ("kept", "gone", "d/kept", "d/gone", "o/gone"):
            (lower / name).parent.mkdir(exist_ok=True)
            (lower / name).write_text("lower")
        for name in ("d", "o"):
            (upper / name).mkdir()
        (upper / "d/new").touch()
        (upper / "o/new").touch()
        os.setxattr(upper / "o", "user.overlay.opaque", b"y")
        (upper / "gone").mkdir()
        os.setxattr(upper / "gone", "user.overlay.opaque", b"y")
        (upper / "d/gone").symlink_to("kept")
        data, _ = run("export", *over(layers))
        assert members(data) == ["d", "d/gone", "d/kept", "d/new", "gone", "kept", "o", "o/new"]

    def test_what_the_sidecar_keeps(self, layers: tuple[Path, Path], tmp_path: Path) -> None:
        """In a single-id layer: owners, modes, devices and attributes; and they stay with what is copied up."""
        upper, lower = layers
        (lower / "d").mkdir(mode=0o700)
        for name in ("a", "copied", "owned"):
            (lower / "d" / name).write_text("x")
            os.chmod(lower / "d" / name, 0o600)
        (upper / "d").mkdir(mode=0o700)
        for name in ("copied", "new"):
            (upper / "d" / name).write_text("other")
        os.chmod(upper / "d/copied", 0o640)
        sidecar = tmp_path / "sidecar"
        xattr = b"user.k".hex() + ":" + b"v".hex()
        records = {
            "d": "uid=5 gid=6 mode=555", "d/a": f"uid=7 gid=8 mode=400 xattr={xattr}", "d/copied": "uid=9 gid=10",
            "d/null": "device=c:1:3 mode=666 uid=1 gid=2 mtime=77.000000005",
        }  # fmt: skip
        sidecar.write_bytes(b"pyrun-layer 1\n" + b"".join(f"{p}\0{t}\0".encode() for p, t in records.items()))
        own = ["--flat", "--map", f"b:{os.geteuid()}:0:1"]
        data, _ = run("export", *own, "--upper", str(upper), "--layer", str(lower), str(sidecar))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            found = {one.name: (one.uid, one.gid, oct(one.mode)) for one in archive}
            device, attributes = archive.getmember("d/null"), archive.getmember("d/a").pax_headers
        assert found == {
            "d": (5, 6, "0o555"), "d/a": (7, 8, "0o400"), "d/copied": (9, 10, "0o640"), "d/new": (0, 0, "0o644"),
            "d/null": (1, 2, "0o666"), "d/owned": (0, 0, "0o600"),
        }  # fmt: skip
        assert (device.ischr(), device.devmajor, device.devminor, device.mtime) == (True, 1, 3, 77.000000005)
        assert attributes["SCHILY.xattr.user.k"] == "v"
