"""A reader that ends a connection whose bytes come, but too slowly to be worth waiting for.

A timeout of the socket is for silence: a server that sends a byte a minute is never silent, and never done. It must not
know what is read.
"""

from __future__ import annotations

import io
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

WINDOW_SECONDS = 60.0
LEAST_BYTES = 6_000  # in that time, while somebody waits for more: 100 a second


class SlowError(OSError):
    """Too few bytes came in too long a time."""


class Steady(io.RawIOBase):
    """The bytes of ``raw``, which it owns.

    The time that counts is spent waiting for more: not the reader's own, nor that until the first byte, which a server
    needs to find it.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw
        self._waited = 0.0
        self._came = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Fill a buffer. Raises: SlowError; as ``raw``."""
        began = monotonic()
        count = self._raw.readinto(buffer)
        if self._came:
            self._waited += monotonic() - began
        self._came += count or 0
        if self._waited > WINDOW_SECONDS:
            if self._came < LEAST_BYTES:
                raise SlowError(f"{self._came} bytes came in {self._waited:.0f} seconds")
            self._waited, self._came = 0.0, 1
        return count

    def close(self) -> None:
        """Close ``raw`` too."""
        if not self.closed:
            super().close()
            self._raw.close()
