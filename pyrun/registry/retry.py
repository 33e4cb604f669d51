"""When a request is tried again, and after how long.

It must not know what is requested. Source: RFC 9110 section 10.2.3 (Retry-After), RFC 6585 section 4 (429).
"""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class Retry:
    """A budget of tries with doubled pauses; ``sleep`` is replaced in tests."""

    __slots__ = ("_sleep", "_stopped", "first_seconds", "longest_seconds", "tries")

    def __init__(
        self,
        tries: int = 5,
        first_seconds: float = 0.25,
        longest_seconds: float = 30.0,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.tries = tries
        self.first_seconds = first_seconds
        self.longest_seconds = longest_seconds
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait

    def pause(self, failures: int, retry_after: str | None = None) -> bool:
        """Wait before the next try; False, at once, if there is none or the server asks for more than is bearable.

        ``failures`` counts the tries that failed so far, from 1.
        """
        if failures >= self.tries:
            return False
        seconds = min(self.first_seconds * 2 ** (failures - 1), self.longest_seconds)
        asked = seconds_of(retry_after)
        if asked is not None:
            if asked > self.longest_seconds:
                return False
            seconds = max(seconds, asked)  # "at once" means: not at all sooner than without a word
        self._sleep(seconds)
        return not self._stopped.is_set()

    def stop(self) -> None:
        """Let nothing be tried again, and wake who waits for that."""
        self._stopped.set()


def seconds_of(retry_after: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date; None if it says neither."""
    text = (retry_after or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) < 10 else float("inf")
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
