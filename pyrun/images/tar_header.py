"""One header of a tar archive, to and from its 512 bytes. Pure; it must not know files or images.

Sources: POSIX.1-2017 pax "ustar Interchange Format" and "pax Header Block", GNU tar manual "Basic Tar Format".
"""

from __future__ import annotations

from pyrun.errors import InvalidArchiveError

BLOCK = 512
MAX_EXTENSION_BYTES = 1 << 20  # of a pax header or a long name
FILE, DIRECTORY, SYMLINK, HARD_LINK, OTHER = "file", "directory", "symlink", "hard link", "other"
_KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": SYMLINK, b"5": DIRECTORY}
PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK = b"x", b"g", b"L", b"K"
EXTENSIONS = (PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK)
_SPARSE = b"S"
_USED = (b"path", b"linkpath", b"size")  # the others could fill the memory: headers may follow one another
_LENGTH_DIGITS = 7  # of a record in an extension of at most 1 MiB


class Header:
    """What one header says; ``kind`` is of the words above; ``flag`` its type flag."""

    __slots__ = ("flag", "kind", "link", "name", "size")

    def __init__(self, name: str, kind: str, *, size: int = 0, link: str = "", flag: bytes = b"0") -> None:
        self.name = name
        self.kind = kind
        self.size = size
        self.link = link
        self.flag = flag


def invalid(reason: str, *, hint: str = "") -> InvalidArchiveError:
    """Return the error of an archive that cannot be read; who knows where it is adds that."""
    return InvalidArchiveError(reason, hint=hint)


def padding(size: int) -> int:
    """Return how many bytes follow an entry's content."""
    return -size % BLOCK


def decode(block: bytes) -> Header | None:
    """Read a header; None for the block of zeros that ends an archive.

    Raises: InvalidInputError: no header.
    """
    if not block.strip(b"\0"):
        return None
    if not begins(block):
        raise invalid("it is damaged: no header where one should be")
    flag = block[156:157]
    if flag == _SPARSE:
        raise invalid("a sparse file is no part of an image")
    name, link = _text(block[:100]), _text(block[157:257])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    kind = _KINDS.get(flag, OTHER)
    has_content = kind in (FILE, OTHER) or flag in EXTENSIONS
    return Header(name, kind, size=_number(block[124:136]) if has_content else 0, link=link, flag=flag)


def begins(block: bytes) -> bool:
    """Say whether a tar archive may begin so: with a header, or the zeros that end an empty one."""
    if len(block) < BLOCK or not block.strip(b"\0"):
        return len(block) == BLOCK
    digits = block[148:156].strip(b" \0")
    # The checksum's own eight bytes count as spaces.
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    return not digits.strip(b"01234567") and int(digits or b"0", 8) == total


def extended(header: Header, records: dict[str, str]) -> Header:
    """Return the header with what a pax header or a long name before it says. Raises: InvalidInputError."""
    header.name = records.get("path", header.name)
    header.link = records.get("linkpath", header.link)
    if "size" in records and header.kind == FILE:
        text = records["size"]
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise invalid(f"a pax header says size {text[:40]!r}")
        header.size = int(text)
    if header.kind == FILE and header.name.endswith("/"):
        header.kind = (
            DIRECTORY  # before POSIX; a name that is cut short, before its pax header is heeded, may end so too
        )
    return header


def decode_pax(data: bytes) -> dict[str, str]:
    """Read the records of a pax header, ``LENGTH KEY=VALUE\\n`` each; return those that matter here.

    Raises: InvalidInputError.
    """
    found: dict[str, str] = {}
    position, end = 0, len(data.rstrip(b"\0"))
    while position < end:
        space = data.find(b" ", position, position + _LENGTH_DIGITS + 1)
        length = data[position:space] if space >= 0 else b""
        after = position + int(length) if length.isdigit() else 0
        if not space + 1 < after <= len(data):
            raise invalid("a pax header whose records have no length")
        key, equals, value = data[space + 1 : after].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise invalid("a pax header whose records do not end")
        if key.startswith(b"GNU.sparse."):
            raise invalid("a sparse file is no part of an image")
        if key in _USED:
            found[key.decode("ascii")] = value[:-1].decode("utf-8", "surrogateescape")
        position = after
    return found


def encode(name: str, size: int = 0, *, kind: str = FILE) -> bytes:
    """Write the header of a file or directory of root, of 1970: the same name and size give the same bytes."""
    raw = name.encode()
    assert len(raw) <= 100, "no name in an image archive is longer"
    mode = b"0000755" if kind == DIRECTORY else b"0000644"
    # GNU's form for 8 GiB and more, which Go, libarchive and busybox read as well.
    number = b"%011o\0" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
    flag = b"5" if kind == DIRECTORY else b"0"
    head = raw.ljust(100, b"\0") + mode + b"\0" + b"0000000\0" * 2 + number + b"00000000000\0"
    rest = (flag + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2).ljust(356, b"\0")
    checksum = sum(head) + 8 * 0x20 + sum(rest)
    return head + b"%06o\0 " % checksum + rest


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] != 0x80 or value >= 1 << 63:
            raise invalid("a size that no file has")
        return value
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise invalid("it is damaged: a header has no number where one should be")
    return int(digits or b"0", 8)
