"""``--label`` and ``--label-file``.

It must not know images. Source: docker/cli opts/file.go: a file's lines first, ``#`` begins a comment.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError


def from_options(texts: list[str], files: list[str]) -> dict[str, str]:
    """Return the labels that the options give; the command line's win. Raises: InvalidInputError."""
    found = [_label(line) for path in files for line in _lines(path)]
    return dict([*found, *map(_label, texts)])


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file.read().split("\n")]
    except OSError as error:
        raise InvalidInputError(f"cannot read label file: {path}: {os.strerror(error.errno or 0).lower()}") from error
    except UnicodeDecodeError:
        raise InvalidInputError(f"poorly formatted label file: {path}: invalid utf8 bytes") from None
    return [line for line in lines if line and not line.startswith("#")]


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key.strip():
        raise InvalidInputError(f"invalid label '{text}': empty name")
    return key, value
