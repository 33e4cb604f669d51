"""A health check as the monitor's orders. Layout: native/monitor/job.h ``struct health_orders``.

It must not know where the check comes from. Durations in nanoseconds.
"""

from __future__ import annotations

from _struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.plan import Plan


class Check:
    """When the container is looked at, and what is said of a check that took longer than ``timeout``."""

    __slots__ = ("interval", "retries", "start_interval", "start_period", "timeout", "timeout_words")

    def __init__(
        self, interval: int, timeout: int, start_period: int, start_interval: int, retries: int, timeout_words: str
    ) -> None:
        self.interval = interval
        self.timeout = timeout
        self.start_period = start_period
        self.start_interval = start_interval
        self.retries = retries
        self.timeout_words = timeout_words

    def encode(self, namespaces: int, plan: Plan) -> bytes:
        """Return the bytes that the monitor reads. ``namespaces``: CLONE_NEW* to join; ``plan``: the process."""
        steps = plan.encode()
        header = pack(
            "=QQQQQII64s", namespaces, _milliseconds(self.interval), _milliseconds(self.timeout),
            -(-self.start_period // 1_000_000), _milliseconds(self.start_interval), self.retries, len(steps),
            self.timeout_words.encode(),
        )  # fmt: skip
        return header + steps


def _milliseconds(nanoseconds: int) -> int:
    return max(nanoseconds // 1_000_000, 1)
