"""pyrun-tree against archives that want to harm: refused by name, or made harmless; never a write outside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support import tar_build as tar
from tests.support.tar_tree import Result, snapshot, unpack, verify

# It gives files to other owners; an ordinary user does that in the engine namespace (tests/integration/test_pull.py).
pytestmark = pytest.mark.root


class Sandbox:
    """A destination with something precious beside it."""

    def __init__(self, top: Path) -> None:
        self.dest = top / "dest"
        self.dest.mkdir()
        self.outside = top / "outside"
        self.outside.mkdir()
        (self.outside / "precious").write_text("unharmed")
        self.sidecar = str(top / "sidecar")
        self._before = snapshot(str(self.outside))

    def unpack(
        self, *members: bytes, end: bytes = tar.END, options: tuple[str, ...] = (), form: str = "full"
    ) -> Result:
        result = unpack(b"".join(members) + end, str(self.dest), *options, form=form, sidecar=self.sidecar)
        assert snapshot(str(self.outside)) == self._before, "the host was changed"
        assert result.status in (0, 1), result.stderr
        return result

    def refused(self, *members: bytes, entry: str, reason: str, end: bytes = tar.END, options: tuple[str, ...] = (),
                kind: str = "unsafe") -> None:  # fmt: skip
        result = self.unpack(*members, end=end, options=options)
        assert (result.status, result.error) == (1, kind), result.report.values
        assert result.entry == entry
        assert reason in result.reason

    def accepted(self, *members: bytes, form: str = "full", options: tuple[str, ...] = ()) -> Result:
        result = self.unpack(*members, form=form, options=options)
        assert result.status == 0, (result.entry, result.reason, result.stderr)
        assert verify(b"".join(members) + tar.END, str(self.dest), form=form, sidecar=self.sidecar) == []
        return result

    def names(self) -> list[str]:
        return sorted(name for name in snapshot(str(self.dest)) if name != ".")


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


class TestEscapes:
    def test_write_through_an_absolute_link(self, sandbox: Sandbox) -> None:
        target = os.fsencode(sandbox.outside)
        sandbox.refused(
            tar.symlink(b"evil", target), tar.file(b"evil/pwned", b"x"), entry="evil/pwned", reason="out of the layer"
        )

    def test_write_through_a_relative_link(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.symlink(b"evil", b"../outside"),
            tar.file(b"evil/pwned", b"x"),
            entry="evil/pwned",
            reason="out of the layer",
        )

    def test_write_through_a_chain_of_links(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.directory(b"a"), tar.symlink(b"a/b", b".."), tar.symlink(b"c", b"a/b/../outside"),
            tar.file(b"c/pwned", b"x"), entry="c/pwned", reason="out of the layer",
        )  # fmt: skip

    def test_overwrite_a_link_itself_not_its_target(self, sandbox: Sandbox) -> None:
        target = os.fsencode(sandbox.outside / "precious")
        sandbox.accepted(tar.symlink(b"evil", target), tar.file(b"evil", b"mine"))
        assert (sandbox.dest / "evil").read_text() == "mine"
        assert not (sandbox.dest / "evil").is_symlink()

    def test_directory_over_a_link_replaces_it(self, sandbox: Sandbox) -> None:
        sandbox.accepted(
            tar.symlink(b"evil", os.fsencode(sandbox.outside)), tar.directory(b"evil"), tar.file(b"evil/x")
        )
        assert not (sandbox.dest / "evil").is_symlink()
        assert sandbox.names() == ["evil", "evil/x"]

    def test_directory_replaced_by_a_link_between_members(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.directory(b"d"), tar.file(b"d/one"), tar.symlink(b"d", os.fsencode(sandbox.outside)),
            tar.file(b"d/two"),
            entry="d/two", reason="out of the layer",
        )  # fmt: skip

    def test_directory_replaced_by_a_link_into_the_layer(self, sandbox: Sandbox) -> None:
        sandbox.accepted(
            tar.directory(b"d"), tar.file(b"d/one"), tar.directory(b"e"), tar.symlink(b"d", b"/e"), tar.file(b"d/two")
        )
        assert sandbox.names() == ["d", "e", "e/two"]

    def test_links_without_end(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.symlink(b"a", b"b"), tar.symlink(b"b", b"a"), tar.file(b"a/x"), entry="a/x", reason="links on the way"
        )

    @pytest.mark.parametrize("name", [b"../pwned", b"a/../../outside/pwned", b"/../pwned", b"a/.."])
    def test_dot_dot(self, sandbox: Sandbox, name: bytes) -> None:
        sandbox.refused(tar.file(name, b"x"), entry=name.decode(), reason='".." component')

    def test_dot_dot_in_a_pax_path(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.pax({b"path": b"../outside/pwned"}), tar.file(b"fine"), entry="../outside/pwned", reason='".."'
        )

    def test_dot_dot_in_a_gnu_long_name(self, sandbox: Sandbox) -> None:
        name = b"../outside/pwned\0"
        sandbox.refused(
            tar.header(b"././@LongLink", b"L", size=len(name), magic=b"ustar  \0") + tar.pad(name), tar.file(b"fine"),
            entry="../outside/pwned", reason='".."',
        )  # fmt: skip

    def test_absolute_name_is_inside(self, sandbox: Sandbox) -> None:
        sandbox.accepted(tar.file(b"/bin/x", b"1"), tar.file(b"//y", b"2"), tar.directory(b"/"))
        assert sandbox.names() == ["bin", "bin/x", "y"]

    def test_hard_link_outside(self, sandbox: Sandbox) -> None:
        target = os.fsencode(sandbox.outside / "precious")
        sandbox.refused(tar.hardlink(b"h", target), entry="h", reason="does not have")

    def test_hard_link_with_dot_dot(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.hardlink(b"h", b"../outside/precious"), entry="h", reason='".." component')

    def test_hard_link_through_a_link(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.symlink(b"s", os.fsencode(sandbox.outside)),
            tar.hardlink(b"h", b"s/precious"),
            entry="h",
            reason="does not have",
        )

    def test_hard_link_to_a_link_is_the_link(self, sandbox: Sandbox) -> None:
        sandbox.accepted(tar.symlink(b"s", os.fsencode(sandbox.outside / "precious")), tar.hardlink(b"h", b"s"))
        assert (sandbox.dest / "h").is_symlink()

    def test_hard_link_to_a_directory_or_whiteout(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.directory(b"d"), tar.hardlink(b"h", b"d"), entry="h", reason="directory or a whiteout")

    def test_hard_link_to_what_it_replaces(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.directory(b"d"), tar.file(b"d/x"), tar.hardlink(b"d", b"d/x"), entry="d", reason="which it replaces"
        )

    def test_file_below_a_file(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.file(b"f"), tar.file(b"f/x"), entry="f/x", reason="no directory")


class TestOverlayMarks:
    @pytest.mark.parametrize("name", [b".wh...", b".wh..", b".wh.", b"a/.wh..."])
    def test_whiteout_of_dot_dot(self, sandbox: Sandbox, name: bytes) -> None:
        sandbox.refused(tar.file(name), entry=name.decode(), reason="whiteout of")

    def test_whiteout_as_a_directory(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.file(b".wh.x/y"), entry=".wh.x/y", reason="whiteout as a directory")

    def test_null_device(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.header(b"w", b"3", device=(0, 0)), entry="w", reason="0:0")

    @pytest.mark.parametrize("name", [
        "user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.whiteout",
        "user.overlay.origin", "trusted.overlay.opaque", "trusted.overlay.redirect", "user.pyrun.x",
        "user.fuseoverlayfs.opaque", "user.containers.override_stat",
    ])  # fmt: skip
    @pytest.mark.parametrize("form", ["SCHILY.xattr.", "LIBARCHIVE.xattr."])
    @pytest.mark.parametrize("global_header", [False, True])
    def test_marks_in_xattrs_are_dropped(self, sandbox: Sandbox, name: str, form: str, global_header: bool) -> None:
        records = {form.encode() + name.encode(): b"eQ==", b"SCHILY.xattr.user.kept": b"1"}
        kind = b"g" if global_header else b"x"
        result = sandbox.accepted(tar.pax(records, kind), tar.directory(b"d"), tar.pax(records, kind), tar.file(b"f"))
        for path in ("d", "f"):
            assert os.listxattr(sandbox.dest / path) == ["user.kept"]
        assert result.report.number("dropped_xattrs") >= 2
        assert name.encode().hex().encode() not in Path(sandbox.sidecar).read_bytes()

    def test_url_encoding_hides_no_mark(self, sandbox: Sandbox) -> None:
        sandbox.accepted(tar.pax({b"LIBARCHIVE.xattr.user%2Eoverlay%2eopaque": b"eQ=="}), tar.directory(b"d"))
        assert os.listxattr(sandbox.dest / "d") == []


class TestLies:
    def test_bad_checksum(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.file(b"good"),
            tar.header(b"bad", checksum=b"0000000\0"),
            entry="",
            reason='checksum, after member "good"',
        )

    def test_huge_size(self, sandbox: Sandbox) -> None:
        member = tar.header(b"f", size=tar.base256((1 << 63) - 1, 12))
        sandbox.refused(member, entry="f", reason="impossible size")

    def test_negative_size(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.header(b"f", size=b"\xff" * 12), entry="f", reason="impossible size")

    def test_size_above_the_limit(self, sandbox: Sandbox) -> None:
        member = tar.header(b"f", size=tar.base256(1 << 40, 12))
        sandbox.refused(member, entry="f", reason="more than", options=("--max-bytes", "1000000"), kind="limit")

    @pytest.mark.parametrize("value", [b"-1", b"9223372036854775808", b"1e9", b"0x10", b"99999999999999999999999"])
    def test_pax_size_lies(self, sandbox: Sandbox, value: bytes) -> None:
        sandbox.refused(
            tar.pax({b"size": value}), tar.file(b"f", b"x"), entry="PaxHeaders/x", reason="impossible number"
        )

    def test_pax_size_beyond_the_stream(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.pax({b"size": b"100000"}), tar.file(b"f", b"x"), entry="f", reason="truncated")

    @pytest.mark.parametrize(
        "data", [b"99 a=b\n", b"6 a=b", b"3 =\n", b"x\n", b"0 a=b\n", b"6 a=b\n7", b"18446744073709551622 a=b\n"]
    )
    def test_pax_record_lies(self, sandbox: Sandbox, data: bytes) -> None:
        sandbox.refused(tar.pax(data), tar.file(b"f"), entry="PaxHeaders/x", reason="pax header has a record")

    def test_pax_header_too_large(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.pax({b"comment": bytes(1 << 20)}),
            tar.file(b"f"),
            entry="PaxHeaders/x",
            reason="pax header of",
            kind="limit",
        )

    def test_pax_path_with_nul(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.pax({b"path": b"a\0b"}), tar.file(b"f"), entry="f", reason="NUL")

    def test_path_too_long(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            tar.pax({b"path": b"d/" * 2100 + b"f"}), tar.file(b"f"), entry="f", reason="longer than", kind="limit"
        )

    def test_path_made_long_by_links(self, sandbox: Sandbox) -> None:
        deep = b"/".join([b"d" * 200] * 20)
        sandbox.refused(
            tar.pax({b"path": deep}), tar.directory(b"x"), tar.pax({b"linkpath": deep}), tar.symlink(b"s", b"x"),
            tar.pax({b"path": b"s/" + b"/".join([b"e" * 200] * 5)}), tar.file(b"f"),
            entry="s/" + "/".join(["e" * 200] * 5), reason="longer than", kind="limit",
        )  # fmt: skip

    def test_too_many_entries(self, sandbox: Sandbox) -> None:
        members = [tar.file(b"f%d" % i) for i in range(11)]
        sandbox.refused(
            *members, entry="f10", reason="more than 10 entries", options=("--max-entries", "10"), kind="limit"
        )

    def test_implied_directories_count_as_entries(self, sandbox: Sandbox) -> None:
        name = b"/".join([b"d"] * 20) + b"/f"
        sandbox.refused(
            tar.file(name),
            entry=name.decode(),
            reason="more than 10 entries",
            options=("--max-entries", "10"),
            kind="limit",
        )

    @pytest.mark.parametrize("size", [1, 100, 511, 513, 1023])
    def test_truncated(self, sandbox: Sandbox, size: int) -> None:
        whole = tar.file(b"f", b"x" * 600)
        result = sandbox.unpack(whole[:size], end=b"")
        assert (result.status, result.error) == (1, "unsafe")
        assert "truncated" in result.reason

    def test_ends_after_an_extended_header(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.pax({b"path": b"x"}), entry="PaxHeaders/x", reason="after an extended header")

    def test_lone_zero_block(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.file(b"f"), bytes(512), tar.file(b"g"), entry="", reason="lone block of zeros")

    def test_trailing_garbage_is_read_and_ignored(self, sandbox: Sandbox) -> None:
        sandbox.accepted(tar.file(b"f"), tar.END, os.urandom(5000))
        assert sandbox.names() == ["f"]

    def test_unknown_type(self, sandbox: Sandbox) -> None:
        sandbox.refused(tar.header(b"f", b"Q"), entry="f", reason="unknown member type 0x51")

    def test_too_many_xattrs(self, sandbox: Sandbox) -> None:
        records = {b"SCHILY.xattr.user.%d" % i: b"" for i in range(1100)}
        sandbox.refused(
            tar.pax(records), tar.file(b"f"), entry="PaxHeaders/x", reason="extended attributes", kind="limit"
        )


class TestSparse:
    def member(self, size: int, pairs: bytes) -> bytes:
        return tar.pax({b"GNU.sparse.size": str(size).encode(), b"GNU.sparse.map": pairs})

    def test_huge(self, sandbox: Sandbox) -> None:
        sandbox.refused(
            self.member(1 << 62, b"0,1"), tar.file(b"f", b"x"), entry="f", reason="more than", kind="limit",
            options=("--max-bytes", str(1 << 31)),
        )  # fmt: skip

    @pytest.mark.parametrize("pairs", [b"5,10", b"9223372036854775807,1", b"4,1,0,0", b"0,1,0,0", b"0,2", b"0,0"])
    def test_segments_outside_or_out_of_order_or_of_another_size(self, sandbox: Sandbox, pairs: bytes) -> None:
        sandbox.refused(self.member(10, pairs), tar.file(b"f", b"x"), entry="f", reason="sparse map", options=())

    def test_odd_map(self, sandbox: Sandbox) -> None:
        sandbox.refused(self.member(10, b"0,1,2"), tar.file(b"f", b"x"), entry="f", reason="sparse map")

    def test_count_beyond_the_data(self, sandbox: Sandbox) -> None:
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"10"}
        sandbox.refused(tar.pax(records), tar.file(b"f", b"9999999\n0\n"), entry="f", reason="sparse map")


class TestDevices:
    def test_made_or_skipped_and_counted(self, sandbox: Sandbox) -> None:
        result = sandbox.accepted(
            tar.header(b"null", b"3", device=(1, 3), mode=0o666), tar.header(b"sda", b"4", device=(8, 0))
        )
        if result.report.number("skipped_devices") == 0:
            assert os.geteuid() == 0
            assert (sandbox.dest / "null").lstat().st_rdev == os.makedev(1, 3)
            assert stat.S_ISBLK((sandbox.dest / "sda").lstat().st_mode)
        else:
            assert sandbox.names() == []
            assert b"null\0device=c:1:3 mode=666" in Path(sandbox.sidecar).read_bytes()

    def test_flat_keeps_them_in_the_sidecar(self, sandbox: Sandbox) -> None:
        result = sandbox.accepted(tar.header(b"null", b"3", device=(1, 3), mode=0o666), form="flat")
        assert result.report.number("skipped_devices") == 1
        assert sandbox.names() == []

    def test_a_skipped_device_that_is_replaced_leaves_no_record(self, sandbox: Sandbox) -> None:
        sandbox.accepted(tar.header(b"x", b"3", device=(1, 3)), tar.file(b"x", b"now a file"), form="flat")
        assert b"device" not in Path(sandbox.sidecar).read_bytes()
