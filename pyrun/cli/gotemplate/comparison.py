"""eq, ne, lt, le, gt, ge. Source: text/template "Functions": only basic kinds are ordered, kinds are never mixed."""

from __future__ import annotations

from typing import Any

from pyrun.cli.gotemplate.errors import CallError
from pyrun.cli.gotemplate.values import Struct, is_nil, show, type_name

_BAD_TYPE = "invalid type for comparison"
_INCOMPATIBLE = "incompatible types for comparison"


def _kind(value: Any) -> type | None:
    return next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), None)


def equal(first: Any, *others: Any) -> bool:
    """Tell whether the first is equal to one of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _is_equal(one: Any, other: Any) -> bool:
    if _kind(one) is not _kind(other):
        if is_nil(one) or is_nil(other):
            return False
        raise CallError(_INCOMPATIBLE)
    if _kind(one) is None:
        if is_nil(one) or is_nil(other):
            return is_nil(one) and is_nil(other)
        for value in (one, other):
            if isinstance(value, list | tuple | dict) and not isinstance(value, Struct):
                raise CallError(f"non-comparable type {show(value)}: {type_name(value)}")
        return one is other
    return bool(one == other)


def not_equal(one: Any, other: Any) -> bool:
    """Tell whether they differ."""
    return not equal(one, other)


def less(one: Any, other: Any) -> bool:
    """Tell whether one is before the other."""
    for value in (one, other):
        if _kind(value) is None:
            raise CallError(_BAD_TYPE)
    if _kind(one) is not _kind(other):
        raise CallError(_INCOMPATIBLE)
    if _kind(one) is bool:
        raise CallError(_BAD_TYPE)
    return bool(one < other)


def less_or_equal(one: Any, other: Any) -> bool:
    """Tell whether one is before the other, or equal."""
    return less(one, other) or equal(one, other)


def greater(one: Any, other: Any) -> bool:
    """Tell whether one is after the other."""
    return not less_or_equal(one, other)


def greater_or_equal(one: Any, other: Any) -> bool:
    """Tell whether one is after the other, or equal."""
    return not less(one, other)
