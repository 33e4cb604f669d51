"""print, println and printf. Source: Go's package fmt, "Printing"."""

from __future__ import annotations

import math
import re
from typing import Any

from pyrun.cli.gotemplate.values import Duration, Moment, Struct, is_nil, quote, show, show_float, type_name

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\d+|\*)?(?:\.(?P<precision>\d+|\*|))?(?P<index>\[[^\]]*\])?(?P<verb>.)?", re.DOTALL
)
_NONE = object()
_LARGEST = 1_000_000


def print_(*values: Any) -> str:
    """Write values one after another, with a space between two that are no texts."""
    words: list[str] = []
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            words.append(" ")
        words.append(show(value))
    return "".join(words)


def println(*values: Any) -> str:
    """Write values with spaces between and a newline after."""
    return " ".join(map(show, values)) + "\n"


def printf(template: str, *values: Any) -> str:
    """Format as fmt.Sprintf."""
    given = _Arguments(values)
    out: list[str] = []
    position = 0
    for match in _VERB.finditer(template):
        out.append(template[position : match.start()])
        position = match.end()
        if any(text and text != "*" and int(text) > _LARGEST for text in (match["width"], match["precision"])):
            # fmt refuses what nobody means: to it, the rest is no verb.
            out.append("%!(NOVERB)")
            position = len(template)
            break
        out.append(_formatted(match, given))
    out.append(template[position:])
    if not given.is_reordered and given.next < len(values):
        extra = (f"{type_name(v)}={show(v)}" if not is_nil(v) else "<nil>" for v in values[given.next :])
        out.append(f"%!(EXTRA {', '.join(extra)})")
    return "".join(out)


class _Arguments:
    """What is left to format; `%[2]d` sets which is next."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        self.next = 0
        self.is_reordered = False

    def jump(self, index: str | None) -> bool:
        """Obey `[n]`; False if there is no such argument."""
        if index is None:
            return True
        self.is_reordered = True
        is_number = index[1:-1].isdecimal() and len(index) < 10
        if not is_number or not 0 < int(index[1:-1]) <= len(self.values):
            return False
        self.next = int(index[1:-1]) - 1
        return True

    def take(self) -> Any:
        """Return the next one, _NONE where there is none."""
        if self.next >= len(self.values):
            return _NONE
        self.next += 1
        return self.values[self.next - 1]

    def take_count(self, text: str | None) -> tuple[int | None, bool]:
        """Return a width or precision, which `*` takes from the arguments, and whether it was good."""
        count = self.take() if text == "*" else int(text) if text else 0
        is_good = isinstance(count, int) and not isinstance(count, bool) and abs(count) <= _LARGEST
        if text != "*" and is_good:
            return (count if text else None), True
        return (count, True) if is_good else (None, False)


def _formatted(match: re.Match[str], given: _Arguments) -> str:
    flags, verb = match["flags"], match["verb"]
    width, good_width = given.take_count(match["width"])
    precision, good_precision = given.take_count(match["precision"])
    if match["precision"] == "":
        precision = 0
    faults = ("" if good_width else "%!(BADWIDTH)") + ("" if good_precision else "%!(BADPREC)")
    if width is not None and width < 0:
        width, flags = -width, flags + "-"
    if verb is None:
        return faults + "%!(NOVERB)"
    if verb == "%":
        return faults + "%"
    value = given.take() if given.jump(match["index"]) else _NONE
    if value is _NONE:
        return f"{faults}%!{verb}({'BADINDEX' if match['index'] else 'MISSING'})"
    return faults + _Field(flags, width, precision).format(verb, value)


class _Field:
    """One verb with its flags."""

    def __init__(self, flags: str, width: int | None, precision: int | None) -> None:
        self.flags = flags
        self.width = width or 0
        self.precision = precision

    def format(self, verb: str, value: Any) -> str:
        if verb == "T":
            return self._pad("<nil>" if is_nil(value) else type_name(value))
        if is_nil(value):
            return self._pad("<nil>") if verb == "v" else f"%!{verb}(<nil>)"
        if isinstance(value, Duration | Moment) and verb in "vsqxX":
            return self._string(verb, show(value))  # they are fmt.Stringer
        if isinstance(value, bool):
            return self._pad(show(value)) if verb in "tv" else self._bad(verb, value)
        if isinstance(value, int):
            return self._integer(verb, value)
        if isinstance(value, float):
            return self._float(verb, value)
        if isinstance(value, str):
            return self._string(verb, value)
        return self._compound(verb, value)

    def _compound(self, verb: str, value: Any) -> str:
        """Lists, maps, structs: the verb goes to each element."""
        plain = _Field(self.flags, self.width, self.precision)
        if isinstance(value, Struct):
            return "{" + " ".join(plain.format(verb, item) for item in value.shown()) + "}"
        if isinstance(value, dict):
            pairs = (f"{plain.format(verb, key)}:{plain.format(verb, value[key])}" for key in sorted(value))
            return "map[" + " ".join(pairs) + "]"
        return "[" + " ".join(plain.format(verb, item) for item in value) + "]"

    def _integer(self, verb: str, value: int) -> str:
        if verb == "c":
            return self._pad(_rune(value))
        if verb == "q":
            return self._pad("'" + quote(_rune(value))[1:-1].replace('\\"', '"').replace("'", "\\'") + "'")
        if verb == "U":
            return self._pad(f"U+{value:04X}")
        if verb not in "vdboOxX":
            return self._bad(verb, value)
        digits = format(abs(value), {"v": "d", "O": "o"}.get(verb, verb))
        if self.precision is not None:
            digits = digits.zfill(self.precision) if value or self.precision else ""
        prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb, "") if "#" in self.flags else ""
        prefix = "0o" if verb == "O" else prefix
        return self._number(prefix + digits, value < 0, zeros=self.precision is None)

    def _float(self, verb: str, value: float) -> str:
        if verb == "v" or (verb in "gG" and self.precision is None):
            text = show_float(abs(value)) if self.precision is None else f"{abs(value):.{self.precision}g}"
        elif verb in "eEfFgG":
            text = format(abs(value), f".{6 if self.precision is None else self.precision}{verb}")
        else:
            return self._bad(verb, value)
        return self._number(text.upper() if verb in "EG" else text, math.copysign(1, value) < 0, zeros=True)

    def _number(self, text: str, is_negative: bool, *, zeros: bool) -> str:
        sign = "-" if is_negative else "+" if "+" in self.flags else " " if " " in self.flags else ""
        if zeros and "0" in self.flags and "-" not in self.flags:
            text = text.zfill(self.width - len(sign))
        return self._pad(sign + text)

    def _string(self, verb: str, value: str) -> str:
        if self.precision is not None and verb in "svq":
            value = value[: self.precision]
        if verb in "sv":
            return self._pad(quote(value) if verb == "v" and "#" in self.flags else value)
        if verb == "q":
            can_raw = "#" in self.flags and "`" not in value and (value.isprintable() or "\t" in value)
            return self._pad(f"`{value}`" if can_raw else quote(value))
        if verb in "xX":
            data = value.encode("utf-8", "surrogateescape")[: self.precision]
            text = data.hex(" ") if " " in self.flags else data.hex()
            return self._pad(text.upper() if verb == "X" else text)
        return self._bad(verb, value)

    def _pad(self, text: str) -> str:
        if "-" in self.flags:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if "0" in self.flags and not text.startswith(("+", "-", "<")) else " ")

    def _bad(self, verb: str, value: Any) -> str:
        plain = _Field(self.flags.replace("#", ""), self.width, self.precision)
        return f"%!{verb}({type_name(value)}={plain.format('v', value)})"


def _rune(number: int) -> str:
    """Return a character; what is none is U+FFFD, as in Go."""
    is_one = 0 <= number < 0xD800 or 0xE000 <= number < 0x110000
    return chr(number) if is_one else "\ufffd"
