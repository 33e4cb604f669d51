"""pyrun-tree unpacks what the formats mean: whiteouts, order, duplicates, sparse files, names, numbers, attributes."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from pyrun.layers import sidecar
from tests.support import tar_build as tar
from tests.support.tar_tree import Result, snapshot, unpack, verify

# It gives files to other owners; an ordinary user does that in the engine namespace (tests/integration/test_pull.py).
pytestmark = pytest.mark.root


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    path = tmp_path / "dest"
    path.mkdir()
    return path


def accept(dest: Path, *members: bytes, form: str = "full") -> Result:
    archive, beside = b"".join(members) + tar.END, str(dest) + ".sidecar"
    result = unpack(archive, str(dest), form=form, sidecar=beside)
    assert result.status == 0, (result.entry, result.reason, result.stderr)
    # What is unpacked is what `verify` expects, whatever the archive: two programs, one meaning.
    assert verify(archive, str(dest), form=form, sidecar=beside) == []
    return result


def is_whiteout(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "user.overlay.opaque" in os.listxattr(path) and os.getxattr(path, "user.overlay.opaque") == b"y"


class TestWhiteouts:
    def test_whiteout(self, dest: Path) -> None:
        accept(dest, tar.directory(b"d"), tar.file(b"d/.wh.x"))
        assert is_whiteout(dest / "d/x")
        assert sorted(os.listdir(dest / "d")) == ["x"]

    def test_opaque_in_any_order(self, dest: Path) -> None:
        accept(dest, tar.file(b"a/.wh..wh..opq"), tar.file(b"a/x"), tar.file(b"b/x"), tar.file(b"b/.wh..wh..opq"))
        assert is_opaque(dest / "a")
        assert is_opaque(dest / "b")
        assert (dest / "a/x").is_file()

    def test_own_files_are_not_hidden(self, dest: Path) -> None:
        accept(dest, tar.file(b"x", b"new"), tar.file(b".wh.x"), tar.file(b".wh.y"), tar.file(b"y", b"new"))
        assert (dest / "x").read_text() == (dest / "y").read_text() == "new"

    def test_directory_beside_its_whiteout_hides_what_is_below(self, dest: Path) -> None:
        accept(
            dest,
            tar.file(b".wh.a"),
            tar.directory(b"a"),
            tar.directory(b"b"),
            tar.file(b".wh.b"),
            tar.file(b".wh.c"),
            tar.file(b"c/x"),
        )
        assert [is_opaque(dest / name) for name in "abc"] == [True, True, True]

    def test_aufs_records_are_left_out(self, dest: Path) -> None:
        accept(dest, tar.file(b".wh..wh.aufs"), tar.directory(b".wh..wh.plnk"), tar.file(b"f"))
        assert os.listdir(dest) == ["f"]


class TestOrder:
    def test_last_file_wins(self, dest: Path) -> None:
        accept(dest, tar.file(b"f", b"long first", mode=0o600), tar.file(b"f", b"2", mode=0o755))
        assert (dest / "f").read_text() == "2"
        assert (dest / "f").stat().st_mode & 0o777 == 0o755

    def test_directory_over_directory_keeps_content(self, dest: Path) -> None:
        accept(dest, tar.directory(b"d", 0o700), tar.file(b"d/x"), tar.directory(b"d/", 0o711, mtime=5))
        assert (dest / "d/x").exists()
        assert (dest / "d").stat().st_mode & 0o777 == 0o711
        assert (dest / "d").stat().st_mtime == 5

    def test_file_and_directory_replace_each_other(self, dest: Path) -> None:
        accept(
            dest,
            tar.directory(b"a/b"),
            tar.file(b"a/b/c"),
            tar.file(b"a", b"file"),
            tar.file(b"f"),
            tar.directory(b"f"),
            tar.file(b"f/x"),
        )
        assert (dest / "a").read_text() == "file"
        assert (dest / "f/x").is_file()

    def test_hard_link_over_itself(self, dest: Path) -> None:
        accept(
            dest, tar.file(b"f", b"1"), tar.hardlink(b"f", b"./f"), tar.hardlink(b"g", b"/f"), tar.hardlink(b"g", b"f")
        )
        assert (dest / "g").stat().st_nlink == 2

    def test_directory_listed_after_its_content(self, dest: Path) -> None:
        result = accept(dest, tar.file(b"d/x"), tar.directory(b"d", 0o1777, mtime=7))
        assert result.report.number("implied") == 0
        assert (dest / "d").stat().st_mode & 0o7777 == 0o1777

    def test_through_a_link_inside(self, dest: Path) -> None:
        accept(
            dest, tar.directory(b"usr/lib"), tar.symlink(b"lib", b"usr/lib"), tar.file(b"lib/x"), tar.file(b"lib/new/y")
        )
        assert (dest / "usr/lib/x").is_file()
        assert (dest / "usr/lib/new/y").is_file()

    def test_an_absolute_link_starts_at_the_root_of_the_layer(self, dest: Path) -> None:
        accept(dest, tar.directory(b"d/run"), tar.directory(b"run"), tar.symlink(b"d/s", b"/run"), tar.file(b"d/s/x"))
        assert (dest / "run/x").is_file()

    def test_implied_directories_are_recorded(self, dest: Path) -> None:
        result = accept(dest, tar.file(b"tmp/sub/x"), tar.directory(b"etc"), tar.file(b"etc/y"))
        assert result.report.number("implied") == 2
        assert sidecar.implied(str(dest) + ".sidecar") == [b"tmp", b"tmp/sub"]

    def test_record_of_a_replaced_tree_is_gone(self, dest: Path) -> None:
        accept(
            dest, tar.header(b"d/x", mode=0), tar.file(b"d"), tar.directory(b"d"), tar.file(b"d/x", b""), form="flat"
        )
        assert b"d/x" not in {k for k, v in sidecar.load(str(dest) + ".sidecar").items() if v.mode == 0}

    def test_more_records_than_are_held_in_memory(self, dest: Path) -> None:
        """Sorted in parts, 8 MiB each; what a later member replaces is void wherever its record is by then."""
        deep = b"/".join([b"n" * 200] * 18)
        names = [b"%b/%b/f%d" % (deep, b"ab"[n % 2 : n % 2 + 1], n) for n in range(2600)]
        owned = [tar.pax({b"path": name}) + tar.file(b"x", uid=7) for name in names]
        replaced = tar.pax({b"path": deep + b"/a"}) + tar.file(b"x", uid=8)
        again = tar.pax({b"path": names[1]}) + tar.file(b"x", uid=9)
        accept(dest, *owned, replaced, again, form="flat")
        found = sidecar.load(str(dest) + ".sidecar")
        assert {name: fact.uid for name, fact in found.items() if fact.uid} == {
            **dict.fromkeys(names[1::2], 7), names[1]: 9,
            deep + b"/a": 8,
        }  # fmt: skip


class TestMetadata:
    def test_modes_times_and_set_id(self, dest: Path) -> None:
        accept(
            dest, tar.pax({b"mtime": b"1234567890.123456789"}), tar.file(b"su", b"x", mode=0o4755),
            tar.pax({b"mtime": b"-1.5"}), tar.directory(b"d", 0o2755), tar.file(b"d/in"), tar.pax({b"mtime": b"3.25"}),
            tar.symlink(b"l", b"nowhere"), tar.header(b"p", b"6", mode=0o620),
        )  # fmt: skip
        assert (dest / "su").stat().st_mode & 0o7777 == 0o4755
        assert (dest / "su").stat().st_mtime_ns == 1234567890123456789
        assert (dest / "d").stat().st_mtime_ns == -1500000000
        assert (dest / "l").lstat().st_mtime_ns == 3250000000
        assert stat.S_ISFIFO((dest / "p").stat().st_mode)
        assert (dest / "p").stat().st_mode & 0o777 == 0o620

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners of other ids")
    def test_owners_set_id_and_capabilities(self, dest: Path) -> None:
        capability = bytes.fromhex("0100000200040000000000000000000000000000")
        accept(
            dest, tar.file(b"su", b"x", mode=0o6755, uid=1, gid=2), tar.directory(b"d", 0o2775, uid=0, gid=8),
            tar.pax({b"SCHILY.xattr.security.capability": capability}),
            tar.file(b"d/ping", b"x", mode=0o755, uid=7, gid=0),
            tar.pax({b"uid": b"65534", b"gid": b"123456"}), tar.symlink(b"l", b"x"),
        )  # fmt: skip
        found = (dest / "su").stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1, 2, 0o6755)
        assert os.getxattr(dest / "d/ping", "security.capability") == capability
        assert ((dest / "d/ping").stat().st_gid, (dest / "d").stat().st_mode & 0o7777) == (0, 0o2775)
        assert (dest / "l").lstat().st_gid == 123456

    def test_ids_outside_of_the_map_are_clamped(self, dest: Path) -> None:
        if subprocess.run(["unshare", "-r", "true"], check=False).returncode != 0:
            pytest.skip("userns")
        data = tar.file(b"f", b"x", uid=1234, gid=0) + tar.file(b"g", uid=0, gid=0) + tar.END
        result = unpack(data, str(dest), sidecar=str(dest) + ".sidecar", wrap=["unshare", "-r"])
        assert (result.status, result.report.number("clamped")) == (0, 1)
        facts = sidecar.load(str(dest) + ".sidecar")
        assert (list(facts), facts[b"f"].uid, facts[b"f"].gid) == ([b"f"], 1234, 0)

    def test_flat_keeps_owners_and_modes_beside(self, dest: Path) -> None:
        accept(
            dest,
            tar.file(b"f", b"x", mode=0, uid=5, gid=6),
            tar.directory(b"d", 0o500, uid=0, gid=0),
            tar.file(b"d/x", uid=0, gid=0),
            form="flat",
        )
        facts = sidecar.load(str(dest) + ".sidecar")
        assert (facts[b"f"].uid, facts[b"f"].gid, facts[b"f"].mode) == (5, 6, 0)
        assert facts[b"d"].mode == 0o500
        assert b"d/x" not in facts
        assert (dest / "d").stat().st_mode & 0o700 == 0o700
        assert (dest / "f").stat().st_uid == os.getuid()

    def test_xattrs_that_cannot_be_set_are_kept_beside(self, dest: Path) -> None:
        result = accept(
            dest,
            tar.pax({b"SCHILY.xattr.user.x": b"\x00\xff", b"LIBARCHIVE.xattr.user.y": b"AAE="}),
            tar.symlink(b"l", b"t"),
        )
        assert result.report.number("skipped_xattrs") == 2
        assert sidecar.load(str(dest) + ".sidecar")[b"l"].xattrs == {"user.x": b"\x00\xff", "user.y": b"\x00\x01"}


class TestForms:
    def test_ustar_prefix_and_v7_directory(self, dest: Path) -> None:
        accept(dest, tar.file(b"name", b"1", prefix=b"pre/fix"), tar.header(b"old/", b"\0", magic=bytes(8)))
        assert (dest / "pre/fix/name").read_text() == "1"
        assert (dest / "old").is_dir()

    def test_gnu_long_names(self, dest: Path) -> None:
        name = b"n" * 200 + b"\0"
        link = b"t" * 200 + b"\0"
        accept(
            dest, tar.header(b"L", b"L", size=len(name)), tar.pad(name), tar.header(b"K", b"K", size=len(link)),
            tar.pad(link), tar.symlink(b"short", b"short"),
        )  # fmt: skip
        assert os.readlink(dest / ("n" * 200)) == "t" * 200

    def test_base256_numbers(self, dest: Path) -> None:
        accept(dest, tar.header(b"f", size=tar.base256(3, 12), extra={136: tar.base256(1 << 33, 12)}), tar.pad(b"abc"))
        assert (dest / "f").read_text() == "abc"
        assert (dest / "f").stat().st_mtime == 1 << 33

    def test_global_header_and_taking_back(self, dest: Path) -> None:
        accept(
            dest,
            tar.pax({b"mtime": b"42"}, b"g"),
            tar.file(b"a"),
            tar.pax({b"mtime": b""}),
            tar.file(b"b", mtime=9),
            tar.file(b"c"),
        )
        assert [int((dest / name).stat().st_mtime) for name in "abc"] == [42, 9, 42]

    def test_old_gnu_sparse_with_extension(self, dest: Path) -> None:
        fields = b"".join(b"%011o\0%011o\0" % (i * 8192, 1) for i in range(4))
        more = b"".join(b"%011o\0%011o\0" % (i * 8192, 1) for i in range(4, 6))
        extra = {386: fields, 482: b"\1", 483: b"%011o\0" % 100000}
        head = tar.header(b"f", b"S", size=6, magic=b"ustar  \0", extra=extra)
        accept(dest, head, tar.pad(more), tar.pad(b"abcdef"))
        data = (dest / "f").read_bytes()
        assert len(data) == 100000
        assert bytes(data[i * 8192] for i in range(6)) == b"abcdef"

    @pytest.mark.parametrize("form", ["0.0", "0.1", "1.0", "gnu"])
    def test_sparse_as_gnu_tar_writes_it(self, dest: Path, tmp_path: Path, form: str) -> None:
        source = tmp_path / "source"
        source.mkdir()
        with open(source / "holes", "wb") as file:
            for at in (0, 1 << 16, 5 << 20):
                file.seek(at)
                file.write(os.urandom(5000))
            file.truncate(9 << 20)
        option = ["--format=gnu"] if form == "gnu" else ["--format=posix", f"--sparse-version={form}"]
        data = subprocess.run(["tar", "cS", *option, "-C", str(source), "."], check=True, capture_output=True).stdout
        assert len(data) < 1 << 20
        assert unpack(data, str(dest)).status == 0
        assert (dest / "holes").read_bytes() == (source / "holes").read_bytes()
        assert (dest / "holes").stat().st_blocks < 1000


def test_many_files_as_gnu_tar_unpacks_them(dest: Path, tmp_path: Path) -> None:
    other, source = tmp_path / "other", tmp_path / "source"
    other.mkdir()
    source.mkdir()
    for i in range(300):
        directory = source / f"d{i % 7}" / ("x" * (i % 90 + 1))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{i}").write_bytes(os.urandom(i * 97))
        os.chmod(directory / f"f{i}", 0o400 | i)
        if i % 5 == 0:
            os.link(directory / f"f{i}", directory / f"h{i}")
            os.symlink("../" * (i % 4) + "y" * (i + 1), directory / f"s{i}")
    for form in ("gnu", "posix", "ustar"):
        excluded = ["--exclude=s*"] if form == "ustar" else []
        data = subprocess.run(
            ["tar", "c", f"--format={form}", *excluded, "-C", str(source), "."], check=True, capture_output=True
        ).stdout
        one, two = dest / form, other / form
        one.mkdir()
        two.mkdir()
        assert unpack(data, str(one)).status == 0
        subprocess.run(["tar", "xp", "-C", str(two)], input=data, check=True)
        assert snapshot(str(one)) == snapshot(str(two))
