"""inotify(7): to be told when a directory's files change, instead of looking again and again.

It must not know what the files mean. Cold: reached through ctypes, which costs 10 ms.
"""

from __future__ import annotations

import ctypes
import os

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_TO = 0x80
CREATE = 0x100
MOVE_SELF = 0x800
_CLOEXEC = 0o2000000
_NONBLOCK = 0o4000


class Inotify:
    """A descriptor that becomes readable when something has happened: to be polled, then drained."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = _checked(self._libc.inotify_init1(_CLOEXEC | _NONBLOCK), "inotify_init1")

    def watch(self, path: str, mask: int) -> None:
        """Watch a directory. Raises: OSError; EMFILE and ENOSPC are the user's limits (inotify(7))."""
        _checked(self._libc.inotify_add_watch(self.fd, os.fsencode(path), mask), path)

    def drain(self) -> None:
        """Forget what has happened so far."""
        try:
            while os.read(self.fd, 65536):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
