"""The words of docker's `--filter`: `key=value`, again and again. Which keys a verb knows is the verb's.

Source: docker/cli opts/opts.go FilterOpt; moby api/types/filters: words of one key are alternatives.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyrun.errors import FlagValueError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse(texts: Sequence[str], known: Collection[str], *, flag: str = "-f, --filter") -> dict[str, list[str]]:
    """Return the values by key. Raises: FlagValueError for a word without `=`, InvalidInputError for an unknown key."""
    wanted: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise FlagValueError(flag, text, "bad format of filter (expected name=value)")
        if key not in known:
            raise InvalidInputError(f"invalid filter '{key}'", hint=f"known filters: {', '.join(sorted(known))}")
        wanted.setdefault(key, []).append(value.strip())
    return wanted


def boolean(key: str, value: str) -> bool:
    """Read a yes or no. Raises: InvalidInputError."""
    if value not in BOOLEANS:
        raise InvalidInputError(f"invalid filter '{key}={value}'", hint="it is true or false")
    return BOOLEANS[value]


def is_in(word: str, text: str) -> bool:
    """Tell whether a regular expression matches anywhere; one that is none is a piece of text."""
    try:
        return bool(re.search(word, text))
    except re.error:
        return word in text


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Tell whether there is a label `key`, or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
