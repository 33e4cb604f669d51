"""Archives written byte by byte, so that they can be wrong on purpose."""

from __future__ import annotations

import os
from collections.abc import Mapping

BLOCK = 512
END = bytes(2 * BLOCK)


def _octal(value: int, size: int) -> bytes:
    return f"{value:0{size - 1}o}".encode() + b"\0"


def base256(value: int, size: int) -> bytes:
    """GNU's binary number."""
    return bytes([0x80]) + value.to_bytes(size - 1, "big")


def pad(data: bytes) -> bytes:
    """Data filled to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def header(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int = 0o644,
    uid: int | None = None,
    gid: int | None = None,
    mtime: int = 1_000_000_000,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    magic: bytes = b"ustar\x0000",
    checksum: bytes | None = None,
    prefix: bytes = b"",
    extra: Mapping[int, bytes] | None = None,
) -> bytes:
    """One header block; ``extra`` writes bytes at offsets before the checksum is made. Owner: who runs the test."""
    block = bytearray(BLOCK)
    for offset, field in (
        (0, name[:100]), (100, _octal(mode, 8)), (108, _octal(os.getuid() if uid is None else uid, 8)),
        (116, _octal(os.getgid() if gid is None else gid, 8)),
        (124, size if isinstance(size, bytes) else _octal(size, 12)),
        (136, _octal(mtime, 12)), (148, b" " * 8), (156, kind), (157, link[:100]), (257, magic),
        (329, _octal(device[0], 8)), (337, _octal(device[1], 8)), (345, prefix), *(extra or {}).items(),
    ):  # fmt: skip
        block[offset : offset + len(field)] = field
    block[148:156] = checksum if checksum is not None else f"{sum(block):06o}".encode() + b"\0 "
    return bytes(block)


def record(key: bytes, value: bytes) -> bytes:
    """One pax record with its length."""
    size = len(key) + len(value) + 3
    while size != len(str(size)) + len(key) + len(value) + 3:
        size = len(str(size)) + len(key) + len(value) + 3
    return f"{size} ".encode() + key + b"=" + value + b"\n"


def pax(records: Mapping[bytes, bytes] | bytes, kind: bytes = b"x") -> bytes:
    """An extended header."""
    data = records if isinstance(records, bytes) else b"".join(record(key, value) for key, value in records.items())
    return header(b"PaxHeaders/x", kind, size=len(data)) + pad(data)


def file(name: bytes, data: bytes = b"", **options: object) -> bytes:
    """A regular file."""
    return header(name, b"0", size=len(data), **options) + pad(data)  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755, **options: object) -> bytes:
    """A directory."""
    return header(name, b"5", mode=mode, **options)  # type: ignore[arg-type]


def symlink(name: bytes, target: bytes) -> bytes:
    """A symbolic link."""
    return header(name, b"2", link=target, mode=0o777)


def hardlink(name: bytes, target: bytes) -> bytes:
    """A hard link."""
    return header(name, b"1", link=target)
