"""Values as Go sees them: which type, true or not, how fmt and encoding/json write them.

A Go map is a dict, a slice a list, a method a callable, nil is None. What JSON does not tell has a class: `Struct`
(its fields are known: another is an error), `NilSlice`, `NilMap`, `NilPointer` (null, but of a type), `JsonNumber`.
"""

from __future__ import annotations

import decimal
import json
import math
from typing import TYPE_CHECKING, Any

from pyrun.cli.text import escaped_json, quote
from pyrun.engine import duration

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

__all__ = [
    "MISSING",
    "AnyMap",
    "AnySlice",
    "Duration",
    "JsonNumber",
    "Moment",
    "NilMap",
    "NilPointer",
    "NilSlice",
    "Struct",
    "quote",
]


class Struct(dict[str, Any]):
    """A Go struct, by the names that JSON has. `go_type`: its name in errors.

    `hidden`: further fields, which JSON leaves out where they are empty; `also`: methods, and Go's other names of
    fields; `absent`: names that JSON has and Go has not; `order`: Go's of all fields.
    """

    go_type = "struct"
    escapes_html = False  # in JSON: docker's rows do, its documents do not

    def __init__(
        self, fields: Any, *, hidden: Mapping[str, Any] | None = None, also: Mapping[str, Any] | None = None,
        absent: Container[str] = (), order: Iterable[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(fields)
        self._hidden = hidden or {}
        self._also = also or {}
        self._absent = absent
        self._order = order

    def field(self, name: str) -> Any:
        """Return a field or method, MISSING if the struct has none of this name."""
        if name in self:
            return MISSING if name in self._absent else self[name]
        return self._also[name] if name in self._also else self._hidden.get(name, MISSING)

    def shown(self) -> list[Any]:
        """Return the values of its fields in Go's order."""
        everything = {**self, **self._hidden, **self}
        return [everything[name] for name in self._order or everything if name in everything]


class AnyMap(dict[str, Any]):
    """An object of a document that is read without knowing its types."""


class AnySlice(list[Any]):
    """A list of such a document."""


class NilSlice(list[Any]):
    """null, where a list may stand."""


class NilMap(dict[str, Any]):
    """null, where an object of free keys may stand."""


class NilPointer:
    """null, where a struct or number may stand."""


class Duration(int):
    """A time.Duration: nanoseconds, which print as `1m30s`."""

    __slots__ = ()


class Moment(str):
    """A time.Time in its JSON form, RFC 3339 in UTC; it prints as `2006-01-02 15:04:05.999 +0000 UTC`."""

    __slots__ = ()


class JsonNumber(str):
    """A number of a document that is read without knowing its types: Go keeps its text."""

    __slots__ = ()


class _Missing:
    """What a map answers for a key that it has not: neither nil nor any value."""


MISSING = _Missing()


def is_nil(value: Any) -> bool:
    """Whether it is nil, or no value at all."""
    return value is None or value is MISSING or isinstance(value, NilPointer)


def type_name(value: Any) -> str:
    """Return the name of its Go type, as errors and %T show it."""
    if isinstance(value, Struct):
        return value.go_type
    if is_nil(value):
        return "<nil>" if isinstance(value, NilPointer) else "interface {}"
    if isinstance(value, JsonNumber):
        return "json.Number"
    if isinstance(value, Duration | Moment):
        return f"time.{'Time' if isinstance(value, Moment) else 'Duration'}"
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return name
    if isinstance(value, dict):
        return "map[string]" + ("interface {}" if isinstance(value, AnyMap) else _element_type(value.values()))
    if isinstance(value, list | tuple):
        return "[]" + ("interface {}" if isinstance(value, AnySlice) else _element_type(value))
    return "func()"


def _element_type(items: Any) -> str:
    names = {type_name(item) for item in items}
    return names.pop() if len(names) == 1 else "interface {}" if names else "string"


def is_true(value: Any) -> bool:
    """Tell whether `if` takes it: not zero, not empty, not nil; a struct always is."""
    if isinstance(value, Struct):
        return True
    return not is_nil(value) and bool(value)


def to_text(value: Any) -> str:
    """Write a value as a template prints it."""
    if value is None or value is MISSING:
        return "<no value>"
    return show(value)


def show(value: Any) -> str:
    """Write a value as fmt's %v does."""
    if is_nil(value):
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Struct):
        return "{" + " ".join(map(show, value.shown())) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(show, value)) + "]"
    if isinstance(value, Duration):
        return duration.show(value)
    if isinstance(value, Moment):
        return f"{_trimmed(value).replace('T', ' ')[:-1]} +0000 UTC"
    return show_float(value) if isinstance(value, float) else str(value)


def _trimmed(moment: Moment) -> str:
    """Leave out the zeros at the end of a fraction, as time.RFC3339Nano does."""
    return moment.removesuffix("Z").rstrip("0").rstrip(".") + "Z" if "." in moment else str(moment)


def show_float(value: float) -> str:
    """Write as %g: the fewest digits that tell it from its neighbours, an exponent from 1e6 and below 1e-4."""
    if not math.isfinite(value):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    sign, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    magnitude = len(digits) - 1 + exponent
    text = "".join(map(str, digits))
    if value and not -4 <= magnitude < 6:
        text = text[0] + ("." + text[1:] if len(text) > 1 else "") + f"e{magnitude:+03d}"
    else:
        text = format(decimal.Decimal((0, digits, exponent)), "f")
    return "-" * sign + text  # -0 too


def to_json(value: Any, indent: str | None = None) -> str:
    """Write JSON as encoding/json does without HTML escapes: the keys of maps sorted, those of structs in order.

    Other than there, what a terminal would obey is escaped: to who reads JSON it is the same.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(_plain(value), separators=separators, ensure_ascii=False, indent=indent)
    escapes: dict[str, str | int | None] = {"\u2028": "\\u2028", "\u2029": "\\u2029"}
    if isinstance(value, Struct) and value.escapes_html:
        escapes |= {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    text = text.translate(str.maketrans(escapes))
    return escaped_json(text.encode("utf-8", "replace").decode())


def _plain(value: Any) -> Any:
    if is_nil(value) or isinstance(value, NilSlice | NilMap) or callable(value):
        return None
    if isinstance(value, Struct):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, JsonNumber):
        return json.loads(value)
    if isinstance(value, Moment):
        return _trimmed(value)
    if isinstance(value, float) and value == int(value) and abs(value) < 1e21:
        return int(value)
    return value
