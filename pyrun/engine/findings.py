"""What `fsck` has found: one finding, one sentence; and what came of mending it.

It must not know how things are checked or printed.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from pyrun.errors import PyrunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Mend = Callable[[], str]
    Hear = Callable[[str, str, int], None]

# Nothing is wrong with these: they take space, or are worth knowing.
HARMLESS = ("orphan", "quarantined", "note")


class Finding(NamedTuple):
    """``kind``: store, index, image, blob, layer, patch, container, name, list, signatures, volume, mount, log, cache,
    or one of HARMLESS.

    ``subject`` is what it is about, ``mended`` what `--repair` did about it ("": nothing), ``size`` bytes on disk.
    """

    kind: str
    subject: str
    problem: str
    mended: str = ""
    size: int = 0

    @property
    def is_damage(self) -> bool:
        """Whether something is wrong, mended or not."""
        return self.kind not in HARMLESS

    @property
    def sentence(self) -> str:
        """What a user reads."""
        return f"{self.kind} {self.subject}: {self.problem}" + (f": {self.mended}" if self.mended else "")


class Options(NamedTuple):
    """``quick``: nothing is hashed, no file looked at; ``max_age``: nanoseconds, younger orphans are not listed.

    ``force``: with ``repair``, also take away what is damaged and cannot be made again.
    """

    quick: bool = False
    repair: bool = False
    force: bool = False
    max_age: int = 0
    tls_verify: bool | None = None


class Findings:
    """All of them, in the order in which they were met; filled from several threads."""

    def __init__(self, *, repair: bool) -> None:
        self.all: list[Finding] = []
        self._repair = repair
        self._lock = threading.Lock()

    def add(self, kind: str, subject: str, problem: str, mend: Mend | None = None, *, size: int = 0) -> bool:
        """Note one, and mend it if that is wanted; return whether it is mended."""
        mended, problem = self._mend(problem, mend)
        with self._lock:
            self.all.append(Finding(kind, subject, problem, mended, size))
        return bool(mended)

    def add_several(self, kind: str, subject: str, problems: list[str], mend: Mend | None) -> bool:
        """Note several of one thing that are mended together; return whether they are."""
        mended, last = self._mend(problems[-1], mend)
        with self._lock:
            self.all += [Finding(kind, subject, problem, mended) for problem in [*problems[:-1], last]]
        return bool(mended)

    def _mend(self, problem: str, mend: Mend | None) -> tuple[str, str]:
        if mend is None or not self._repair:
            return "", problem
        try:
            return mend(), problem
        except PyrunError as error:
            return "", f"{problem}; not mended: {error}"
        except OSError as error:
            return "", f"{problem}; not mended: {error.filename or ''}: {(error.strerror or '').lower()}"
