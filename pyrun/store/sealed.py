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

_BEGIN = b'{"crc32":"'
_BODY = len(_BEGIN) + len('89abcdef",')


def seal(document: dict[str, Any]) -> bytes:
    """Return a document, which is not empty, with its checksum."""
    body = json.dumps(document).encode("ascii")[1:]
    return b'%b%08x",%b' % (_BEGIN, crc32(body), body)


def unseal(data: bytes) -> Any:
    """Return the document without its checksum. Raises: ValueError: it is damaged, or no JSON."""
    if not data.startswith(_BEGIN):
        return json.loads(data)
    if data[len(_BEGIN) : _BODY] != b'%08x",' % crc32(data[_BODY:]):
        raise ValueError("it is damaged: its checksum is another one")
    return json.loads(b"{" + data[_BODY:])
