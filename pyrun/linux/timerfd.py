"""timerfd_create(2): a descriptor that becomes readable at a moment of the clock, however that is set until then.

It must not know what happens then. Cold: os.timerfd_create came with Python 3.13.
"""

from __future__ import annotations

import ctypes
import os

_CLOCK_REALTIME = 0
_ABSTIME = 1
_CLOEXEC = 0o2000000


def at(moment: int) -> int:
    """Return a descriptor for `moment`, in nanoseconds since 1970; the caller closes it. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.timerfd_create(_CLOCK_REALTIME, _CLOEXEC)
    # struct itimerspec: no interval, then the moment, of which 0 would disarm it.
    value = (ctypes.c_long * 4)(0, 0, *divmod(max(moment, 1), 1_000_000_000))
    if fd < 0 or libc.timerfd_settime(fd, _ABSTIME, value, None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "timerfd")
    return fd
