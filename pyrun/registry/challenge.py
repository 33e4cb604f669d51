"""WWW-Authenticate headers (RFC 9110 section 11.6.1): what a registry asks a client to prove.

It must not know of credentials or requests.
"""

from __future__ import annotations

_BLANK = " \t"


class Challenge:
    """One challenge; ``scheme`` and the names of ``parameters`` are in lower case."""

    __slots__ = ("parameters", "scheme")

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters


def parse_challenges(header: str) -> list[Challenge]:
    """Read the challenges of a header; what does not follow the grammar is left out."""
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        position = _skip(header, position, _BLANK + ",")
        word, position = _token(header, position)
        after = _skip(header, position, _BLANK)
        if not word:
            position += 1  # no token where one must be: step over it
        elif header[after : after + 1] == "=" and found:
            value, position = _value(header, _skip(header, after + 1, _BLANK))
            found[-1].parameters.setdefault(word.lower(), value)
        else:
            found.append(Challenge(word.lower(), {}))
    return found


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _token(text: str, position: int) -> tuple[str, int]:
    start = position
    while position < len(text) and (text[position].isalnum() or text[position] in "!#$%&'*+-.^_`|~"):
        position += 1
    return text[start:position], position


def _value(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] != '"':
        start = position
        while position < len(text) and text[position] not in _BLANK + ",":
            position += 1
        return text[start:position], position
    value = ""
    position += 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            position += 1
        value += text[position : position + 1]
        position += 1
    return value, position + 1
