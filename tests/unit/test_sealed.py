"""Documents that carry a checksum of themselves: every flipped bit is seen, and put right."""

from __future__ import annotations

import pytest

from pyrun.oci import json
from pyrun.store import index, sealed

DOCUMENT = {"id": "0" * 12, "labels": {"a": "b", "é": "\udc80"}, "list": [1, 2.5, None, True], "text": "x" * 40}


def test_every_flipped_bit_is_seen_and_put_right() -> None:
    whole = sealed.seal(DOCUMENT)
    assert not sealed.is_damaged(whole)
    assert sealed.unseal(whole) == DOCUMENT
    for number in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[number // 8] ^= 1 << number % 8
        assert sealed.is_damaged(bytes(flipped)), number
        assert sealed.mended(bytes(flipped)) == whole, number


def test_more_damage_is_seen_and_not_put_right() -> None:
    whole = sealed.seal(DOCUMENT)
    for at in range(len(whole) - 3):
        damaged = whole[:at] + bytes(byte ^ 0xA5 for byte in whole[at : at + 3]) + whole[at + 3 :]
        assert sealed.mended(damaged) is None
    for cut in (b"", whole[:5], whole[:20], whole[:-1], whole + b" "):
        assert sealed.mended(cut) is None


def test_without_a_checksum_nothing_is_damaged() -> None:
    assert not sealed.is_damaged(json.dumps(DOCUMENT).encode())
    assert not sealed.is_damaged(b"{}")
    assert sealed.unseal(b'{"a":1}') == {"a": 1}


def test_a_document_that_is_sealed_again_has_one_checksum() -> None:
    read = json.loads(sealed.seal(DOCUMENT))
    assert sealed.MEMBER in read
    assert sealed.seal(read) == sealed.seal(DOCUMENT)


def test_what_other_tools_write_has_no_checksum() -> None:
    # They drop members that they do not know, or a checksum of theirs would be wrong.
    document = json.loads(index.encoded([]))
    document.pop(sealed.MEMBER)
    assert not sealed.is_damaged(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{", b'{"crc32":"zzzzzzzz","a":1}', b'{"crc32":"00000000",'])
def test_nonsense(data: bytes) -> None:
    assert sealed.mended(data) is None
