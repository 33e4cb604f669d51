"""The functions of docker's `--format` templates: Go's built-in ones and docker/cli's (`templates.basicFunctions`)."""

from __future__ import annotations

import json as stdlib_json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


def is_true(value: Any) -> bool:
    """Tell whether Go's template calls a value true: not zero, not empty, not nil."""
    return bool(value)


def to_text(value: Any) -> str:
    """Write a value as Go's fmt.Print does."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_inner(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(_inner, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else to_text(value)


def to_json(value: Any) -> str:
    """Write compact JSON, as Go does."""
    return stdlib_json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=lambda _: None)


def printf(template: str, *values: Any) -> str:
    """Format as fmt.Sprintf: %s %v %d %q %t %x %f %g %%, with flags, width and precision."""
    left = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], match[2] or "", match[3], match[4]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        return _pad(_verb(verb, precision, left.pop(0)), flags, int(width or 0))

    text = _VERB.sub(replace, template)
    return text + (f"%!(EXTRA {', '.join(f'{type(v).__name__}={to_text(v)}' for v in left)})" if left else "")


def _verb(verb: str, precision: str | None, value: Any) -> str:
    if verb == "q":
        return stdlib_json.dumps(to_text(value), ensure_ascii=False)
    if verb in "feg":
        return format(float(value), f".{precision or 6}{verb}") if verb != "g" else f"{float(value):g}"
    if verb in "dxXob":
        return format(int(value), verb)
    text = to_text(value)
    return text[: int(precision)] if precision else text


def _pad(text: str, flags: str, width: int) -> str:
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags else text.rjust(width)


def index(value: Any, *keys: Any) -> Any:
    """Look up keys one after another; a missing key of a map is its zero value, a bad list index an error."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "")
        elif value is None or value == "":
            return ""
        else:
            if not 0 <= key < len(value):
                raise IndexError(f"index out of range: {key}")
            value = value[key]
    return value


def slice_(value: Any, *bounds: int) -> Any:
    """Cut: `slice x 1 3`."""
    return value[bounds[0] if bounds else 0 : bounds[1] if len(bounds) > 1 else len(value)]


def truncate(text: str, length: int) -> str:
    """Cut to a length."""
    return text[:length]


def pad(text: str, before: int, after: int) -> str:
    """Put spaces before and after a text that is not empty."""
    return " " * before + text + " " * after if text else text


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    return any(first == other for other in others)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "not": lambda value: not value,
    "eq": _equal,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "len": len,
    "index": index,
    "slice": slice_,
    "print": lambda *values: "".join(map(to_text, values)),
    "println": lambda *values: " ".join(map(to_text, values)) + "\n",
    "printf": printf,
    "json": to_json,
    "join": lambda values, separator: separator.join(values or ()),
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text[:1].upper() + text[1:],
    "pad": pad,
    "truncate": truncate,
}
