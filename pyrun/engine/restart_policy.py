"""Restart policies: what ``--restart`` says, where the wish is kept, and what should run after a boot.

It must not start anything: the monitor does while it lives (native/monitor/restart.c), `start --all` after a boot.
Two files in the container's directory: ``restart`` ("NAME MAXIMUM", which the monitor reads after each run) and
``stopped`` (empty: a user ended this container). Rules: moby daemon/internal/restartmanager.
"""

from __future__ import annotations

import os

from pyrun.errors import ConflictError, InvalidInputError, is_no_answer
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.runtime.state import State

FILE = "restart"
_STOPPED = "stopped"
_NAMES = ("no", "always", "on-failure", "unless-stopped")


class Policy:
    """``maximum``: how often ``on-failure`` starts it again; 0 = without end."""

    __slots__ = ("maximum", "name")

    def __init__(self, name: str, maximum: int = 0) -> None:
        self.name = name
        self.maximum = maximum

    def encode(self) -> bytes:
        """Return the file's content."""
        return f"{self.name} {self.maximum}\n".encode()


def parse(text: str | None) -> Policy:
    """Return the policy that ``on-failure:3`` names; None and "" are ``no``. Raises: InvalidInputError."""
    name, colon, count = (text or "no").partition(":")
    if colon and not name:
        raise InvalidInputError("invalid restart policy format: no policy provided before colon")
    maximum = 0
    if count:
        if not count.lstrip("+-").isdecimal() or not count.isascii() or len(count) > 10:
            raise InvalidInputError("invalid restart policy format: maximum retry count must be an integer")
        maximum = int(count)
    if name not in _NAMES:
        raise InvalidInputError(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if maximum and name != "on-failure":
        negative = " and cannot be negative" if maximum < 0 else ""
        raise InvalidInputError(
            f"invalid restart policy: maximum retry count can only be used with 'on-failure'{negative}"
        )
    if not 0 <= maximum < 1 << 31:
        raise InvalidInputError("invalid restart policy: maximum retry count cannot be negative")
    return Policy(name, maximum)


def wish(text: str | None, *, is_ephemeral: bool) -> dict[str, bytes]:
    """Return the file that tells a new container's monitor its policy; none for ``no``. Raises: InvalidInputError."""
    policy = parse(text)
    if is_ephemeral and policy.name != "no":
        raise InvalidInputError("conflicting options: cannot specify both --restart and --rm")
    return {} if policy.name == "no" else {FILE: policy.encode()}


def read(directory: str) -> Policy:
    """Return the policy that a container has now."""
    try:
        name, maximum = fsio.read_bytes(f"{directory}/{FILE}").decode("ascii", "replace").split()
        return Policy(name, int(maximum))
    except ValueError:
        return Policy("no")
    except OSError as error:
        if is_no_answer(error):
            raise
        return Policy("no")


def change(directory: str, policy: Policy, *, ephemeral: bool) -> None:
    """Give a container another policy; a monitor that knows policies obeys it from the end of this run on.

    Raises: ConflictError for a --rm container.
    """
    if ephemeral and policy.name != "no":
        raise ConflictError("restart policy cannot be updated because AutoRemove is enabled for the container")
    temporary = f"{directory}/{FILE}.{os.getpid()}"
    fsio.write_atomic(f"{directory}/{FILE}", policy.encode(), temporary=temporary)


def is_obeyed(now: State) -> bool:
    """Whether the container's monitor knows policies: one of an older pyrun does not, until the next start."""
    return now.restarts >= 0


def mark_stopped(directory: str) -> None:
    """Note that a user ends the container: ``unless-stopped`` then does not start it after a boot. Idempotent.

    The next start removes the note (native/monitor/state.c).
    """
    try:
        os.close(os.open(f"{directory}/{_STOPPED}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        return  # removed meanwhile; or the disk is full, which must not keep a container from being stopped
    if read(directory).name == "unless-stopped":
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def starts_on_boot(directory: str, now: State) -> bool:
    """Whether docker's daemon would start the container when it comes up: only one that has run before."""
    policy = read(directory)
    if now.status != "exited":
        return False
    if policy.name == "on-failure":
        return now.exit_code != 0 and (not policy.maximum or max(now.restarts, 0) < policy.maximum)
    return policy.name == "always" or (policy.name == "unless-stopped" and not stays_stopped(directory))


def stays_stopped(directory: str) -> bool:
    """Whether a user ended a container that is ``unless-stopped``."""
    return read(directory).name == "unless-stopped" and os.path.exists(f"{directory}/{_STOPPED}")
