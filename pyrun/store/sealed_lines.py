"""What is appended or written in place carries a checksum at its end, where `store/sealed.py` has it at the beginning.

Lines of JSON (events, and the monitor's state and health: native/monitor/seal.c) end with the member ``"crc32"``, of
all before it; lines of words (refs.log) with a word; the exit slot with eight digits after its line. What was written
without one is taken as it is. Cold: those who write are engine/events.py and store/tag_log.py.
"""

from __future__ import annotations

import io
from binascii import crc32

from pyrun.oci import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MARK, _END, _DIGITS = b',"crc32":"', b'"}', 8
_TAIL = len(_MARK) + _DIGITS + len(_END)
_MOST = 4096  # bytes, of what is tried bit by bit


def close_slot(line: str) -> bytes:
    """Return what is written to the exit slot: a line, then its checksum."""
    data = line.encode("ascii")
    return b"%b%08x" % (data, crc32(data))


def is_sealed_object(line: bytes) -> bool:
    """Say whether a line ends with a checksum, or with what was one before a bit of it flipped."""
    tail = line[-_TAIL:]
    ends = tail[: len(_MARK)] + tail[-len(_END) :]
    return len(tail) == _TAIL and sum((a ^ b).bit_count() for a, b in zip(ends, _MARK + _END, strict=True)) <= 1


def is_sound_object(line: bytes, *, sealed: bool = False) -> bool:
    """Say whether a line of JSON is as it was written; with ``sealed`` by its checksum only."""
    if is_sealed_object(line):
        body = line[:-_TAIL]
        return line[-_TAIL:] == b"%b%08x%b" % (_MARK, crc32(body), _END)
    return not sealed and _is_object(line)


def is_sound_words(line: bytes, is_last: Callable[[str], bool], *, sealed: bool = False) -> bool:
    """Say whether a line of words is as it was written; ``is_last`` knows the last word of one without checksum."""
    body, _, digits = line.rpartition(b" ")
    if len(digits) == _DIGITS:
        return digits == b"%08x" % crc32(body)
    return not sealed and is_last(digits.decode("utf-8", "replace"))


def is_sound_slot(slot: bytes, *, sealed: bool = False) -> bool:
    """Say whether an exit slot is as it was written: empty, or a line, its checksum, and NULs."""
    head, newline, rest = slot.partition(b"\n")
    if not slot.strip(b"\0"):
        return True
    if not rest.strip(b"\0"):
        words = head.split(b" ")
        return not sealed and bool(newline) and len(words) == 4 and words[3].startswith(b"2") and words[3][-1:] == b"Z"
    return rest[:_DIGITS] == b"%08x" % crc32(head + newline) and not rest[_DIGITS:].strip(b"\0")


def mended(data: bytes, is_sound: Callable[[bytes], bool]) -> bytes | None:
    """Return ``data`` with the one bit put right that has flipped; None if that is not what has happened to it.

    As in `sealed.mended` a checksum tells which. What is long is left alone: each bit is tried.
    """
    changed = bytearray(data)
    for number in range(len(data) * 8 if len(data) <= _MOST else 0):
        changed[number // 8] ^= 1 << number % 8
        if is_sound(bytes(changed)):
            return bytes(changed)
        changed[number // 8] ^= 1 << number % 8
    return None


class Damage:
    """Lines, from ``number`` on, that are not as they were written: at ``begin`` in the file.

    ``right``: what they were, if one bit has flipped; ``blank``: as many bytes that say nothing; ``is_known``: false
    where a writer may have been killed, or have found no room.
    """

    __slots__ = ("begin", "blank", "is_known", "number", "right")

    def __init__(self, number: int, begin: int, data: bytes, right: bytes | None) -> None:
        self.number = number
        self.begin = begin
        self.blank = b" " * (len(data) - 1) + b"\n"
        self.right = right
        self.is_known = right is not None or any(map(_has_seal, data.split(b"\n")))


def damages(data: bytes, is_sound: Callable[..., bool]) -> list[Damage]:
    """Find the lines of a file that are not sound, those beside each other together: a newline may have flipped."""
    found: list[Damage] = []
    bad: list[bytes] = []
    at = 0
    for number, line in enumerate([*io.BytesIO(data), b""]):  # not splitlines: it knows other ends of lines, too
        if line.strip() and not (line.endswith(b"\n") and is_sound(line[:-1])):
            bad.append(line)
        elif bad:
            whole = b"".join(bad)
            found.append(_damage(number - len(bad) + 1, at - len(whole), whole, is_sound))
            bad = []
        at += len(line)
    return found


def _damage(number: int, begin: int, data: bytes, is_sound: Callable[..., bool]) -> Damage:
    def is_right(candidate: bytes) -> bool:
        return candidate[-1:] == b"\n" and all(is_sound(line, sealed=True) for line in candidate[:-1].split(b"\n"))

    return Damage(number, begin, data, mended(data, is_right))


def _has_seal(line: bytes) -> bool:
    return is_sealed_object(line) or (line.count(b" ") == 4 and line[-_DIGITS - 1 : -_DIGITS] == b" ")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
