"""Kills a command, its monitor, its init or all of them at a system call, and proves what must hold afterwards.

What that is: tests/README.md "What SIGKILL leaves". Looking is done by the engine in this process: a command for each
question was most of the time that an instant took. The victim's name is `victim`; `holder` runs throughout and keeps
the engine namespace, as newuidmap(1), a set-user-ID program, cannot be traced.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyrun.engine import fsck, images, inspect, logs, ps
from pyrun.engine.findings import Options
from pyrun.engine.image_inspect import image_inspect
from pyrun.store.layout import Layout
from tests.support.features import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.boxes import Box

MARKER = str(86400 + os.getpid())  # seconds that the victim sleeps: how its processes are known
FIRST_SUBORDINATE = 100000  # SUB_UID_MIN of login.defs(5)
NONE = ("--network", "none")
ENDED = ("created", "exited")
# (command, who was watched, at which of its calls, who was killed): each kill that has happened in this session.
INSTANTS: set[tuple[str, str, str, str]] = set()
# What is not content: caches, locks, what events and tags were.
_NOT_CONTENT = ("cache", "events", "oci/index.lock", "index.lock", "gc.lock", "names.lock", "refs.log", "version")


class Killing:
    """A store with `holder` in it, in which commands are killed."""

    def __init__(self, box: Box, directory: Path) -> None:
        self.box = box
        self.root = str(box.pyrun.root)  # what the victims change
        self.directory = directory
        self.layout = Layout.default(environ=box.pyrun.environment)
        self._out = directory / "stepper.json"
        box.start("holder")
        # Once each: what the first start of all makes stays (caches, the sidecars of a pull).
        self.box.run(command=("true",))
        self.before = self.content()

    def step(self, role: str, when: int, victims: str, *argv: str) -> dict[str, Any]:
        """Run `pyrun ARGV…` (or, if argv begins with a slash, any program) and kill; see tests/support/stepper.py."""
        command = argv if argv[0].startswith("/") else (*self.box.pyrun.program, *argv)
        pyrun = self.box.pyrun
        found = stepped(
            self._out, role, when, victims, self.root, command, environment=pyrun.environment, cwd=pyrun.home
        )
        if found["killed"]:
            INSTANTS.add((" ".join(argv), role, str(when), victims))
            threading.Thread(target=reap, args=([int(pid) for pid in found["killed"]],), daemon=True).start()
        return found

    def states(self) -> dict[str, str]:
        """Return the state of every container but the holder, by name, as `ps -a` says it."""
        found = {each.record["name"]: each.state.word for each in ps.list_containers(self.layout, all=True)}
        assert found.pop("holder") == "running", "it must not have been touched"
        return found

    def content(self) -> dict[str, int]:
        """Return every file of the store that is content, and its size: what `du` adds up."""
        found = {}
        root = str(self.box.pyrun.root)
        for parent, _, names in os.walk(root):
            for name in names:
                path = os.path.relpath(os.path.join(parent, name), root)
                if not path.startswith(_NOT_CONTENT) and not path.startswith(f"containers/{self._holder()}"):
                    # An image's record says when it was pulled, in more or fewer digits.
                    found[path] = 0 if path.startswith("images/") else os.lstat(os.path.join(root, path)).st_size
        return found

    def _holder(self) -> str:
        return os.path.basename(os.readlink(self.box.pyrun.root / "names/holder"))

    def everything_works(self) -> None:
        """Every container and image that is listed can be looked at."""
        for name, state in self.states().items():
            assert state in ("created", "running", "paused", "restarting", "exited"), f"{name}: {state}"
            assert self.state(name)["Status"] == state
            for _ in logs.read(self.layout, name, logs.LogOptions()):
                pass
            assert (state in ENDED) or instances() <= 1
        for image in images.list_images(self.layout):
            image_inspect(self.layout, image.id)

    def is_sound(self, *, but: str = "") -> None:
        """`fsck` finds no damage, ``but`` of a kind: all blobs, layers, records and tags are what they must be."""
        found = fsck.fsck(self.layout, Options())
        damage = [finding.sentence for finding in found.findings if finding.is_damage and finding.kind != but]
        assert not damage, damage

    def state(self, name: str) -> dict[str, Any]:
        """Return what `inspect` says of a container's state."""
        found: dict[str, Any] = inspect.inspect(self.layout, name)["State"]
        return found

    def clean(self) -> None:
        """Remove what there is, and prove that nothing is left of it."""
        if names := list(self.states()):
            self.box.pyrun.ok("rm", "-f", "-v", *names)
        assert not self.states(), self.states()
        assert not marked(), "a process of the victim is left"
        # The name is free, the image is whole; what the dead left is swept.
        assert self.box.run("--name", "victim", command=("echo", "fine")) == "fine"
        self.box.pyrun.ok("rm", "-f", "nobody-at-all")
        left = set(self.content().items()) ^ set(self.before.items())
        assert not left, f"left behind, or gone: {sorted(left)}"


def stepped(
    out: Path, role: str, when: int, victims: str, root: str, argv: Sequence[str], *,
    environment: Mapping[str, str], cwd: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run a command under tests/support/stepper.py; return what that says."""
    stepper = [sys.executable, str(ROOT / "tests/support/stepper.py"), str(out), role, str(when), victims, root, "--"]
    subprocess.run(
        [*stepper, *argv], env=environment, cwd=cwd, check=True, timeout=120, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def reap(pids: list[int]) -> None:
    """Take the exit status of those that become orphans, as a machine's init does: the tests are their subreaper.

    One that joined a container's pid namespace (`exec`) and is not reaped keeps that, and its monitor, from ending:
    pid_namespaces(7), zap_pid_ns_processes(). The dead whose parents are still dying are not ours yet.
    """
    poll = select.poll()
    alive = {}
    for pid in pids:
        with suppress(ProcessLookupError):
            alive[os.pidfd_open(pid)] = pid
    for fd in alive:
        poll.register(fd, select.POLLIN)
    dead: list[int] = []
    while alive:
        for fd, _ in poll.poll():
            poll.unregister(fd)
            dead.append(alive.pop(fd))
            os.close(fd)
        dead = [pid for pid in dead if not _take_status(pid)]


def _take_status(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def instances() -> int:
    """How many processes sleep as the victim does: one each instance of it."""
    return len(marked())


def marked() -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if _is_somebody(os.stat(f"/proc/{name}").st_uid):
                    continue
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", MARKER.encode()]:
                found.append(int(name))
    return found


def _is_somebody(uid: int) -> bool:
    """Whether an ordinary user of the machine, not us, has this id: a container's are ours or subordinate ones."""
    return uid != os.geteuid() and 0 < uid < FIRST_SUBORDINATE


def spread(count: int, calls: int, start: float = 0.0) -> list[int]:
    """`count` numbers of system calls out of `calls`, from `start` (a part of all) to the last one."""
    return between(count, int(calls * start) + 1, calls)


def between(count: int, first: int, last: int) -> list[int]:
    """`count` numbers from `first` to `last`, evenly."""
    return sorted({first + (last - first) * index // max(count - 1, 1) for index in range(count)})
