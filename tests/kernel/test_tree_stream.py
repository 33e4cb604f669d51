"""The streamed pipeline and patches: verified, bounded, and clean after every error."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from pyrun.errors import DigestMismatchError, SizeMismatchError, StorageFullError, UnsafeLayerError
from pyrun.layers import lowerdir, patch, unpack
from pyrun.layers.view import View
from pyrun.store.layout import Layout
from tests.support import leftovers
from tests.support import tar_build as tar
from tests.support.tar_tree import program, snapshot

# It gives files to other owners; an ordinary user does that in the engine namespace (tests/integration/test_pull.py).
pytestmark = pytest.mark.root


class Descriptor:
    def __init__(self, data: bytes, algorithm: str = "sha256") -> None:
        self.digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        self.size = len(data)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


LAYER = tar.directory(b"d", 0o1777) + tar.file(b"d/f", bytes(range(256)) * 5000) + tar.symlink(b"l", b"d/f") + tar.END


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    path = tmp_path / "dest"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    program()
    before = leftovers.Before()
    yield
    assert len(os.listdir("/proc/self/fd")) == fds, "descriptors are left open"
    assert threading.active_count() == threads, "threads are left"
    assert before.leftovers() == []


def run(blob: bytes, dest: Path, *, diff_id: str | None = None, descriptor: Descriptor | None = None,
        read: object = None, **options: object) -> unpack.LayerReport:  # fmt: skip
    return unpack.unpack_stream(
        read or io.BytesIO(blob).read, descriptor=descriptor or Descriptor(blob), diff_id=diff_id or digest(LAYER),  # type: ignore[arg-type]
        dest_dir=str(dest), program=program(), **options,  # type: ignore[arg-type]
    )  # fmt: skip


def zstd_frames(data: bytes) -> bytes:
    skippable = b"\x5e\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    return skippable + zstandard.compress(data[:7000]) + skippable + zstandard.compress(data[7000:])


def zstd_frame(data: bytes, window_log: int) -> bytes:
    """Pack without compressing (RFC 8878, 3.1.1): the frame asks for a window of that size."""
    pieces = [data[at : at + 0x20000] for at in range(0, len(data), 0x20000)]
    blocks = [(len(piece) << 3 | (piece is pieces[-1])).to_bytes(3, "little") + piece for piece in pieces]
    return b"\x28\xb5\x2f\xfd\0" + bytes([window_log - 10 << 3]) + b"".join(blocks)


def test_a_frame_may_not_take_all_memory(dest: Path) -> None:
    assert run(zstd_frame(LAYER, 27), dest).entries == 3
    (dest / "other").mkdir()
    with pytest.raises(UnsafeLayerError, match=r"cannot be decompressed: .*too much memory"):
        run(zstd_frame(LAYER, 28), dest / "other")


@pytest.mark.parametrize("form", ["gzip", "members", "zstd", "frames", "none", "xz", "bzip2"])
def test_compressions_are_found_by_looking(dest: Path, form: str) -> None:
    import bz2
    import lzma

    blob = {
        "gzip": gzip.compress(LAYER), "members": gzip.compress(LAYER[:7000]) + gzip.compress(LAYER[7000:]),
        "zstd": zstandard.compress(LAYER), "frames": zstd_frames(LAYER), "none": LAYER, "xz": lzma.compress(LAYER),
        "bzip2": bz2.compress(LAYER),
    }[form]  # fmt: skip
    report = run(blob, dest, media_type="a lie")
    assert (report.entries, report.blob_bytes, report.tar_bytes) == (3, len(blob), len(LAYER))
    assert (dest / "tree/d/f").read_bytes() == bytes(range(256)) * 5000
    assert stat.S_IMODE((dest / "tree/d").stat().st_mode) == 0o1777


def test_iterators_of_small_chunks_and_sha512(dest: Path) -> None:
    blob = gzip.compress(LAYER)
    seen: list[int] = []
    read = iter([blob[i : i + 3] for i in range(0, len(blob), 3)])
    run(blob, dest, read=read, descriptor=Descriptor(blob, "sha512"), progress=seen.append)
    assert seen[-1] == len(blob)


def test_wrong_digest(dest: Path) -> None:
    blob = gzip.compress(LAYER)
    with pytest.raises(DigestMismatchError) as raised:
        run(blob, dest, descriptor=Descriptor(blob[:-1] + b"\xff"))
    assert raised.value.actual == digest(blob)


def test_damage_on_the_way_is_a_wrong_digest_not_a_bad_archive(dest: Path) -> None:
    blob = bytearray(gzip.compress(LAYER))
    good = Descriptor(bytes(blob))
    blob[len(blob) // 2] ^= 0xFF
    with pytest.raises(DigestMismatchError):
        run(bytes(blob), dest, descriptor=good)
    tarred = bytearray(LAYER)
    tarred[700] ^= 0xFF
    other = dest / "other"
    other.mkdir()
    with pytest.raises(DigestMismatchError):
        run(bytes(tarred), other, descriptor=Descriptor(LAYER))


def test_bzip2_that_cannot_be_decompressed(dest: Path) -> None:
    """Its module says so by an OSError."""
    import bz2

    blob = bytearray(bz2.compress(os.urandom(50_000)))
    blob[len(blob) // 2] ^= 0xFF
    with pytest.raises(UnsafeLayerError, match="cannot be decompressed"):
        run(bytes(blob), dest)


def test_wrong_diff_id(dest: Path) -> None:
    with pytest.raises(DigestMismatchError) as raised:
        run(gzip.compress(LAYER), dest, diff_id=digest(b""))
    assert raised.value.actual == digest(LAYER)


@pytest.mark.parametrize("delta", [-1, 1])
def test_wrong_size(dest: Path, delta: int) -> None:
    blob = gzip.compress(LAYER)
    descriptor = Descriptor(blob)
    descriptor.size += delta
    with pytest.raises(SizeMismatchError):
        run(blob, dest, descriptor=descriptor)


def test_endless_blob_is_not_read_to_its_end(dest: Path) -> None:
    descriptor = Descriptor(LAYER)
    with pytest.raises(SizeMismatchError) as raised:
        run(b"", dest, read=bytes, descriptor=descriptor)
    assert raised.value.actual < descriptor.size + (1 << 20)


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_truncated_blob(dest: Path, cut: int) -> None:
    blob = gzip.compress(LAYER)[:-cut]
    with pytest.raises((UnsafeLayerError, DigestMismatchError)):
        run(blob, dest)
    os.mkdir(dest / "zstd")
    blob = zstandard.compress(LAYER)[:-cut]
    with pytest.raises((UnsafeLayerError, DigestMismatchError)):
        run(blob, dest / "zstd")


def test_hostile_layer_is_named(dest: Path) -> None:
    data = tar.file(b"../x", b"1") + tar.END
    blob = gzip.compress(data)
    with pytest.raises(UnsafeLayerError) as raised:
        run(blob, dest, diff_id=digest(data))
    assert (raised.value.entry, raised.value.layer) == ("../x", digest(blob))


def test_gzip_bomb(dest: Path) -> None:
    data = tar.header(b"zeros", size=1 << 28)
    blob = gzip.compress(data) + gzip.compress(bytes(1 << 20)) * 256 + gzip.compress(tar.END)
    limits = unpack.Limits(max_bytes=50 * len(blob))
    with pytest.raises(UnsafeLayerError) as raised:
        run(blob, dest, limits=limits)
    assert (raised.value.entry, "more than" in raised.value.reason) == ("zeros", True)
    assert sum(entry.stat().st_blocks for entry in os.scandir(dest / "tree")) * 512 <= limits.max_bytes  # type: ignore[operator]


def test_bomb_of_headers_alone(dest: Path) -> None:
    data = (tar.pax({b"comment": bytes(1 << 19)}) + tar.file(b"f")) * 40 + tar.END
    with pytest.raises(UnsafeLayerError) as raised:
        run(gzip.compress(data), dest, limits=unpack.Limits(max_bytes=10 << 20))
    assert "more than 10485760 bytes" in raised.value.reason


def test_free_space_bounds_it(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(dest)
    tight = os.statvfs_result((*real[:4], 1000 * 1024 // real.f_frsize, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda path: tight)
    with pytest.raises(StorageFullError) as raised:
        run(gzip.compress(LAYER), dest)
    assert raised.value.hint


def test_errors_of_the_source_arrive(dest: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield LAYER[:600]
        raise ConnectionResetError("peer is gone")

    with pytest.raises(ConnectionResetError):
        run(b"", dest, read=chunks(), descriptor=Descriptor(LAYER))


def test_spawn_that_fails_leaves_nothing(dest: Path) -> None:
    def spawn(argv: object, stdin_fd: int, pass_fds: object, *, stdout_fd: int = 1) -> object:
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        run(LAYER, dest, spawn=spawn)


class TestPatch:
    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        return Layout(str(tmp_path / "root"), str(tmp_path / "runtime"))

    def add(self, layout: Layout, *members: bytes) -> str:
        data = b"".join(members) + tar.END
        directory = layout.layer(digest(data), "full")
        os.makedirs(directory)
        unpack.unpack_stream(
            iter([data]), descriptor=Descriptor(data), diff_id=digest(data), dest_dir=directory, program=program()
        )
        return digest(data)

    def patch(self, layout: Layout, *layers: str) -> bool:
        temporary = layout.root + "/tmp/patch"
        directories = [layout.layer(item, "full") for item in layers]
        if not patch.stage(layout, layers, "full", directories, temporary=temporary, program=program()):
            return False
        patch.publish(layout, layers, "full", temporary)
        return True

    def test_implied_tmp_keeps_its_mode_and_time(self, layout: Layout) -> None:
        low = self.add(
            layout, tar.directory(b"tmp", 0o1777, mtime=77), tar.file(b"tmp/old"), tar.directory(b"a", 0o700)
        )
        high = self.add(layout, tar.file(b"tmp/x"), tar.file(b"a/b/c/x"))
        before = snapshot(layout.layer(high, "full"))
        os.makedirs(layout.root + "/tmp")
        assert View(lowerdir.lowerdirs(layout, [low, high], "full")).stat("/tmp").st_mode & 0o7777 == 0o755  # type: ignore[union-attr]
        assert self.patch(layout, low, high)
        view = View(lowerdir.lowerdirs(layout, [low, high], "full"))
        tmp = view.stat("/tmp")
        assert tmp is not None
        assert (tmp.st_mode & 0o7777, tmp.st_mtime) == (0o1777, 77)
        assert view.stat("/a").st_mode & 0o7777 == 0o700  # type: ignore[union-attr]
        assert view.listdir("/tmp") == ["old", "x"]
        assert sorted(view.listdir("/a/b/c") or []) == ["x"]
        assert snapshot(layout.layer(high, "full")) == before, "a shared layer was changed"
        assert os.listdir(layout.root + "/tmp") == []
        assert not self.patch(layout, low, high), "made twice"

    def test_metadata_come_from_the_highest_layer_that_lists_it(self, layout: Layout) -> None:
        one = self.add(layout, tar.directory(b"d", 0o700), tar.directory(b"d/e", 0o711))
        two = self.add(layout, tar.directory(b"d", 0o750), tar.file(b"d/e/two"))
        three = self.add(layout, tar.file(b"d/e/three"))
        os.makedirs(layout.root + "/tmp")
        assert self.patch(layout, one, two, three)
        view = View(lowerdir.lowerdirs(layout, [one, two, three], "full"))
        assert [view.stat(path).st_mode & 0o777 for path in ("/d", "/d/e")] == [0o750, 0o711]  # type: ignore[union-attr]

    def test_nothing_below_an_opaque_or_whited_out_one(self, layout: Layout) -> None:
        one = self.add(layout, tar.directory(b"d", 0o700), tar.directory(b"e", 0o700), tar.directory(b"f/g", 0o700))
        two = self.add(layout, tar.file(b"d/.wh..wh..opq"), tar.file(b"d/x"), tar.file(b".wh.e"), tar.file(b".wh.f"))
        three = self.add(layout, tar.file(b"e/x"), tar.file(b"f/g/x"))
        os.makedirs(layout.root + "/tmp")
        assert not self.patch(layout, one, two, three)
        assert os.listdir(layout.root + "/tmp") == []

    def test_no_patch_where_all_is_listed(self, layout: Layout) -> None:
        one = self.add(layout, tar.directory(b"d", 0o700))
        two = self.add(layout, tar.directory(b"d", 0o711), tar.file(b"d/x"))
        assert not self.patch(layout, one, two)
        assert lowerdir.lowerdirs(layout, [one, two], "full") == [
            layout.layer(two, "full") + "/tree",
            layout.layer(one, "full") + "/tree",
        ]

    def test_opaque_root_ends_the_list(self, layout: Layout) -> None:
        one = self.add(layout, tar.file(b"x"))
        two = self.add(layout, tar.file(b".wh..wh..opq"), tar.file(b"y"))
        assert len(lowerdir.lowerdirs(layout, [one, two], "full")) == 1
