"""JSON documents of ours that carry a checksum of themselves: nothing else can tell that a bit of them has flipped.

A sealed document is an object whose first member is ``"crc32": "8 HEX"``, of all bytes after it; what was written
without one is taken as it is. It is to tell damage, not forgery: whoever can write there can write anything.
Hot: `run` reads one; binascii is built into the interpreter, the checksum of a record takes 2 µs.
"""

from __future__ import annotations

from binascii import crc32

from pyrun.oci import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MEMBER = "crc32"
_BEGIN = b'{"crc32":"'
_BODY = len(_BEGIN) + len('89abcdef",')
_POLYNOMIAL = 0xEDB88320  # that of crc32, its bits in the order in which they go in


def seal(document: dict[str, Any]) -> bytes:
    """Return a document, which is not empty, with its checksum; that which it was read with is left out."""
    body = json.dumps({key: value for key, value in document.items() if key != MEMBER}).encode("ascii")[1:]
    return _head(body) + body


def unseal(data: bytes) -> Any:
    """Return the document without its checksum. Raises: ValueError: it is damaged, or no JSON."""
    if not data.startswith(_BEGIN):
        return json.loads(data)
    if data[:_BODY] != _head(data[_BODY:]):
        raise ValueError("it is damaged: its checksum is another one")
    return json.loads(b"{" + data[_BODY:])


def is_damaged(data: bytes) -> bool:
    """Say whether a document's checksum tells of damage, to it or to the checksum itself; never without one."""
    if data.startswith(_BEGIN):
        return data[:_BODY] != _head(data[_BODY:])
    return len(data) > _BODY and _bits(data[: len(_BEGIN)], _BEGIN) == 1


def mended(data: bytes) -> bytes | None:
    """Return a sealed document with the one bit put right that has flipped; None if it was more than that.

    A CRC tells which: in less than 2^32 bits each has a remainder of its own. What is returned is also JSON as `seal`
    writes it, so that other damage that happens to have a bit's remainder is not taken for that.
    """
    head, body = data[:_BODY], bytearray(data[_BODY:])
    is_of_head = _bits(head, _head(body)) == 1
    if not is_of_head and not (head.startswith(_BEGIN) and _flip_back(head, body)):
        return None
    whole = _head(body) + body
    try:
        return whole if seal(json.loads(whole)) == whole else None
    except ValueError:
        return None


def _flip_back(head: bytes, body: bytearray) -> bool:
    try:
        difference = crc32(body) ^ int(head[len(_BEGIN) : len(_BEGIN) + 8], 16)
    except ValueError:
        return False
    remainder = _POLYNOMIAL  # of the bit that goes in last, the highest of the last byte; those before are shifted on
    for number in range(len(body) * 8):
        if remainder == difference:
            body[-1 - number // 8] ^= 0x80 >> number % 8
            return True
        remainder = (remainder >> 1) ^ (_POLYNOMIAL if remainder & 1 else 0)
    return False


def _head(body: bytes | bytearray) -> bytes:
    return b'%b%08x",' % (_BEGIN, crc32(body))


def _bits(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True)) if len(one) == len(other) else -1
