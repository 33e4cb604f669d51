"""Lines and slots that end with a checksum: each flipped bit is seen and put right, what was cut is told apart."""

from __future__ import annotations

from binascii import crc32
from functools import partial

import pytest

from pyrun.engine import events
from pyrun.store import sealed_lines, tag_log

EVENT = b'{"Type":"image","ID":"a","Attributes":{"name":"a"},"Action":"pull","timeNano":1795616273977100841'
EVENT = b'%b,"crc32":"%08x"}' % (EVENT, crc32(EVENT))
MOVE = b"2026-11-25T14:17:53Z docker.io/library/a:1 - sha256:" + b"0f" * 32
OLD_MOVE, MOVE = MOVE, b"%b %08x" % (MOVE, crc32(MOVE))
SLOT = sealed_lines.close_slot("1 0 0 2026-11-25T14:17:54.861001476Z\n").ljust(64, b"\0")


def _flips(data: bytes) -> list[bytes]:
    return [
        data[:at] + bytes([data[at] ^ 1 << at * 5 % 8]) + data[at + 1 :]
        for at in range(len(data))
        if at % 3 == 0 or data[at] == 10
    ]


@pytest.mark.parametrize(("whole", "is_sound"), [
    (EVENT + b"\n" + EVENT + b"\n", events.is_sound), (MOVE + b"\n" + MOVE + b"\n", tag_log.is_sound),
])  # fmt: skip
def test_each_flip_in_a_log_is_found_and_put_right(whole: bytes, is_sound: object) -> None:
    find = partial(sealed_lines.damages, is_sound=is_sound)  # type: ignore[arg-type]
    assert find(whole) == []
    for flipped in _flips(whole):
        (damage,) = find(flipped)
        assert damage.is_known
        assert damage.right is not None
        end = damage.begin + len(damage.right)
        assert flipped[: damage.begin] + damage.right + flipped[end:] == whole
        assert find(flipped[: damage.begin] + damage.blank + flipped[end:]) == []


@pytest.mark.parametrize("whole", [SLOT, bytes(64)])
def test_each_flip_in_a_slot(whole: bytes) -> None:
    assert sealed_lines.is_sound_slot(whole)
    for flipped in _flips(whole):
        assert not sealed_lines.is_sound_slot(flipped), flipped
        assert sealed_lines.mended(flipped, partial(sealed_lines.is_sound_slot, sealed=True)) == whole


def test_what_was_written_without_one_is_taken() -> None:
    assert events.is_sound(b'{"Type":"image","ID":"a","Attributes":{},"Action":"pull","timeNano":17}')
    assert tag_log.is_sound(OLD_MOVE)
    assert sealed_lines.is_sound_slot(b"1 137 0 2026-11-25T14:17:54.861001476Z\n".ljust(64, b"\0"))


def test_what_was_cut_is_no_damage() -> None:
    rest = b'{"Type":"image","ID":"'
    assert events.is_sound(rest + EVENT)  # somebody wrote on after it
    (damage,) = sealed_lines.damages(EVENT + b"\n" + rest, events.is_sound)
    assert (damage.number, damage.is_known, damage.right) == (2, False, None)


def test_more_than_a_bit_is_blanked_and_the_lines_beside_it_stay() -> None:
    bad = EVENT.replace(b"pull", b"push")
    (damage,) = sealed_lines.damages(b"\n".join([EVENT, bad, EVENT, b""]), events.is_sound)
    assert (damage.number, damage.begin, damage.is_known, damage.right) == (2, len(EVENT) + 1, True, None)
    assert damage.blank == b" " * len(EVENT) + b"\n"
