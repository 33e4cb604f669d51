"""The keys that leave a container's terminal to itself: ``--detach-keys``, docker's ``detachKeys``, and what is typed.

It must not know whose terminal it is.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError
from pyrun.oci.json import loads


class Detacher:
    """Looks for the detach keys in what is typed; bytes of a begun sequence are held back until it is decided."""

    __slots__ = ("_held", "_keys", "is_detached")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.is_detached = False

    def feed(self, data: bytes) -> bytes:
        """Return what goes to the container."""
        if not self._keys:
            return data
        out = bytearray()
        for value in data:
            self._held += bytes((value,))
            if self._held == self._keys:
                self.is_detached = True
                return bytes(out)
            # What cannot become the sequence any more is let go, but not what may still begin it.
            while not self._keys.startswith(self._held):
                out.append(self._held[0])
                self._held = self._held[1:]
        return bytes(out)


def parse(text: str | None) -> bytes:
    """Return the bytes that ``ctrl-p,ctrl-q`` stands for; "" switches detaching off, None is the user's own default.

    Raises: InvalidInputError.
    """
    if text is None:
        text = _configured() or "ctrl-p,ctrl-q"
    keys = bytearray()
    for word in text.split(",") if text else ():
        if len(word) == 1:
            keys += word.encode()
        elif len(word) == 6 and word.startswith("ctrl-") and word[5].upper() in "ABCDEFGHIJKLMNOPQRSTUVWXYZ@[\\]^_":
            keys.append(ord(word[5].upper()) ^ 0x40)
        else:
            raise InvalidInputError(
                f"invalid detach keys: unknown character: {word!r}", hint="as in --detach-keys=ctrl-p,ctrl-q"
            )
    return bytes(keys)


def _configured() -> str:
    """Return ``detachKeys`` of docker's configuration, or "": docker's "Override the detach sequence"."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(f"{directory}/config.json", "rb") as file:
            document = loads(file.read())
    except (OSError, ValueError):
        return ""  # who needs what is in it (`pull`) says what is wrong with it
    keys = document.get("detachKeys") if isinstance(document, dict) else None
    return keys if isinstance(keys, str) else ""
