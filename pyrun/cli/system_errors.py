"""What a system call refused, as a sentence and what to change: for errors that nobody has translated on their way.

It must not know which verb failed. Imported only for such an error.
"""

from __future__ import annotations

import errno
import os

from pyrun.errors import PyrunError
from pyrun.store import fsio

_HINTS = {
    errno.EIO: "the disk, or the network file system, does not work as it should: `dmesg` may tell more",
    errno.EMFILE: "raise the limit of open files of a process: `ulimit -n`",
    errno.ENFILE: "all processes together have too many files open: sysctl fs.file-max",
    errno.ENOMEM: "free some memory, or raise the limit of this process: `ulimit -v`",
    errno.EAGAIN: "the limit of processes may be reached: `ulimit -u`",
    errno.ENOSPC: "free some space where it goes to",
    errno.EDQUOT: "remove files of yours: the quota of this user is used up",
    errno.EFBIG: "raise the limit of the size of files: `ulimit -f`",
}


def explain(error: OSError | MemoryError) -> tuple[str, str]:
    """Return the sentence and the hint."""
    if isinstance(error, MemoryError):
        return "out of memory", _HINTS[errno.ENOMEM]
    # Of two names it is the second that is written: os.symlink, os.rename.
    name = error.filename2 or error.filename
    subject = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
    if not subject and error.errno == errno.ENOENT and not _has_directory():
        return "cannot find the current directory: it was removed", "change to another one: `cd`"
    found = fsio.full_or(error, subject) if subject else error
    if isinstance(found, PyrunError):
        return found.message, found.hint
    if not subject and error.errno in (errno.ENOSPC, errno.EDQUOT):
        subject = "cannot write the output"  # write(2) tells no name; what the store cannot write does
    return f"{subject}{': ' if subject else ''}{(error.strerror or '').lower()}", _HINTS.get(error.errno or 0, "")


def _has_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
