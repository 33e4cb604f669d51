"""JSON whose every byte must mean the same to each reader: no duplicate keys, no unknown ones, nothing after the end.

It must not know any document. A signed claim or a policy that two programs read differently protects nobody.
"""

from __future__ import annotations

import json
from typing import Any

from pyrun.errors import InvalidConfigError


class DuplicateKeyError(ValueError):
    """An object has a key twice."""


def loads(data: bytes | str, what: str) -> Any:
    """Read a document. Raises: InvalidConfigError, with ``what`` as its name."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise InvalidConfigError(what, "", "not UTF-8") from None
    except RecursionError:
        raise InvalidConfigError(what, "", "nested too deeply") from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg.lower()} (line {error.lineno}, column {error.colno})"
        raise InvalidConfigError(what, "", reason) from None
    except ValueError as error:
        raise InvalidConfigError(what, "", str(error)) from None


def fields(value: Any, what: str, pointer: str, *, needed: str = "", allowed: str = "") -> dict[str, Any]:
    """Return an object that has all ``needed`` keys and besides them only ``allowed`` ones (separated by blanks).

    Raises: InvalidConfigError, with the pointer of what is wrong.
    """
    mapping(value, what, pointer)
    missing = [key for key in needed.split() if key not in value]
    if missing:
        raise InvalidConfigError(what, pointer, f"{missing[0]} is missing")
    unknown = sorted(value.keys() - {*needed.split(), *allowed.split()})
    if unknown:
        raise InvalidConfigError(what, f"{pointer}/{unknown[0]}", "unknown key")
    found: dict[str, Any] = value
    return found


def mapping(value: Any, what: str, pointer: str) -> dict[str, Any]:
    """Return an object, whatever its keys. Raises: InvalidConfigError."""
    if not isinstance(value, dict):
        raise InvalidConfigError(what, pointer, "expected an object")
    return value


def text(value: Any, what: str, pointer: str) -> str:
    """Return a string that is not empty. Raises: InvalidConfigError."""
    if not isinstance(value, str) or not value:
        raise InvalidConfigError(what, pointer, "expected a text that is not empty")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateKeyError(f"key {twice!r} is there twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")
