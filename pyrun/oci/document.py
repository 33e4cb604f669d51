"""Typed decoding of JSON that comes from outside, with errors that point at the bad field.

It must not know of any particular document: their types are in descriptor.py, manifest.py and config.py.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pyrun.errors import InvalidConfigError
from pyrun.oci.limits import MAX_DOCUMENT_BYTES

T = TypeVar("T")


# Python's $ also matches before a final newline: \Z does not, and a digest becomes a file name.
DIGEST_PATTERN = (
    r"\A(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"
    r"|(?!sha256:|sha512:)[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+)\Z"
)
_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838 section 4.2
MEDIA_TYPE_PATTERN = rf"\A{_RESTRICTED_NAME}/{_RESTRICTED_NAME}\Z"
URI_PATTERN = r"\A[A-Za-z][A-Za-z0-9+.-]*:[^\s]+\Z"
VARIABLE_PATTERN = r"\A[^=\0]+=[^\0]*\Z"
TEXT_PATTERN = r"\A[^\0]*\Z"  # what the kernel gets as a string ends at its first NUL
TIME_PATTERN = r"\A[0-9TtZz:.+ -]*\Z"

_MEANING = (
    (DIGEST_PATTERN, "no digest"),
    (MEDIA_TYPE_PATTERN, "no media type"),
    (URI_PATTERN, "no URI"),
    (VARIABLE_PATTERN, "no variable of the form NAME=value"),
    (TIME_PATTERN, "no RFC 3339 time"),
    (TEXT_PATTERN, "a NUL byte"),
)


def check_size(data: bytes | bytearray | memoryview, what: str) -> None:
    """Refuse a document that is too large to be one.

    Raises:
        InvalidConfigError: more than ``MAX_DOCUMENT_BYTES``.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidConfigError(what, "", f"{len(data)} bytes are more than the limit of {MAX_DOCUMENT_BYTES}")


def decode(data: bytes, type_: type[T], what: str) -> T:
    """Decode a document; unknown fields are ignored, as the image-spec asks; ``what`` names it in errors.

    Raises:
        InvalidConfigError: with the JSON pointer of the field that is wrong.
    """
    check_size(data, what)
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        raise _translated(str(error), what) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidConfigError(what, "", _lower(str(error))) from None


def _translated(message: str, what: str) -> InvalidConfigError:
    reason, _, path = message.rpartition(" - at `")
    if not reason:
        reason, path = message, "$"
    for pattern, meaning in _MEANING:
        if repr(pattern) in reason or pattern in reason:
            reason = f"not acceptable: {meaning}"
            break
    # msgspec does not name the key of a free-form object: the pointer ends at the object.
    path = path.rstrip("`").lstrip("$").partition("[...]")[0]
    pointer = path.replace("[", "/").replace("]", "").replace(".", "/").replace("/os/", "/os.")
    return InvalidConfigError(what, pointer, _lower(reason))


def _lower(text: str) -> str:
    return text if text[:4].isupper() else text[:1].lower() + text[1:]
