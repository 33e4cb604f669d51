"""SIGKILL to the client of every verb: whenever that is, every command works, and the verb can be asked for again.

Three instants of each verb with `--full`, eighteen of those that change something, from its first call that names
something of the store on, and `fsck` after each; else two of the latter. What must hold is in tests/README.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pyrun.cli import app
from pyrun.engine import images
from tests.support.features import ROOT, requires
from tests.support.images import entry, layer
from tests.support.killing import MARKER, NONE, Killing, between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay", "native")


class Case(NamedTuple):
    """`setup` makes the victim; `leaves`: the states it may be in after the kill ("": there is none);
    `again`: exit codes of the same command afterwards; `weight`: how many of the instants are worth while;
    `victims`: who is killed with it."""

    argv: tuple[str, ...]
    setup: str
    leaves: tuple[str, ...]
    again: tuple[int, ...] = (0,)
    weight: int = 1
    victims: str = "client,helper"


SETUPS = {
    "": (),
    "created": (("create", "--name", "victim", *NONE, "IMAGE", "sleep", MARKER),),
    "running": (("run", "-d", "--name", "victim", *NONE, "-v", "/data", "IMAGE", "sleep", MARKER),),
    "paused": (("run", "-d", "--name", "victim", *NONE, "IMAGE", "sleep", MARKER), ("pause", "victim")),
    "exited": (("run", "--name", "victim", *NONE, "IMAGE", "true"),),
    "tagged": (("tag", "IMAGE", "other:1"),),
    "dangling": (
        ("run", "--name", "victim", *NONE, "IMAGE", "touch", "/new"),
        ("commit", "victim"),
        ("rm", "victim"),
    ),
    "volume": (("volume", "create", "other"),),
}
WRITE = 6  # what changes something is killed so much more often
RUN_RM = ("run", "--rm", "--name", "victim", *NONE, "IMAGE", "true")
CASES = {
    "create": Case(("create", "--name", "victim", *NONE, "-v", "/data", "IMAGE"), "", ("", "created"), (0, 125), WRITE),
    "run -d": Case((*SETUPS["running"][0],), "", ("", "created", "exited", "running"), (0, 125), WRITE),
    "run --rm": Case(RUN_RM, "", ("", "created", "exited", "running"), (0, 125), WRITE),
    "start": Case(("start", "victim"), "created", ("created", "running", "exited"), (0,), WRITE),
    "stop": Case(("stop", "-t", "0", "victim"), "running", ("running", "exited"), (0,), WRITE),
    "stop, paused": Case(("stop", "-t", "0", "victim"), "paused", ("running", "paused", "exited"), (0,), WRITE),
    "kill": Case(("kill", "victim"), "running", ("running", "exited"), (0, 1), WRITE),
    "pause": Case(("pause", "victim"), "running", ("running", "paused"), (0, 1), WRITE),
    "unpause": Case(("unpause", "victim"), "paused", ("running", "paused"), (0, 1), WRITE),
    "rename": Case(("rename", "victim", "renamed"), "running", ("running",), (0, 1), WRITE),
    "exec": Case(("exec", "victim", "sh", "-c", "echo x > /file"), "running", ("running",), (0,), WRITE),
    "exec -d": Case(("exec", "-d", "victim", "sleep", "77"), "running", ("running",), (0,), WRITE),
    "rm": Case(("rm", "-v", "victim"), "exited", ("", "exited"), (0, 1), WRITE),
    "rm -f": Case(("rm", "-f", "-v", "victim"), "running", ("", "running", "exited"), (0, 1), WRITE),
    "cp in": Case(("cp", "SOURCE", "victim:/etc"), "running", ("running",), (0,), WRITE),
    "cp out": Case(("cp", "victim:/etc", "TARGET"), "exited", ("exited",)),
    "tag": Case(("tag", "IMAGE", "other:1"), "", ("",), (0,), WRITE),
    "untag": Case(("untag", "IMAGE", "other:1"), "tagged", ("",), (0, 1), WRITE),
    "history": Case(("history", "IMAGE"), "", ("",)),
    "image exists": Case(("image", "exists", "IMAGE"), "", ("",)),
    "image tree": Case(("image", "tree", "IMAGE"), "", ("",)),
    "image diff": Case(("image", "diff", "IMAGE", "IMAGE"), "", ("",)),
    "rmi": Case(("rmi", "other:1"), "tagged", ("",), (0, 1), WRITE),
    "image prune": Case(("image", "prune", "-f"), "dangling", ("",), (0,), WRITE),
    "container prune": Case(("container", "prune", "-f"), "exited", ("", "exited"), (0,), WRITE),
    "system prune": Case(("system", "prune", "-f", "--volumes"), "exited", ("", "exited"), (0,), WRITE),
    "volume create": Case(("volume", "create", "other"), "", ("",), (0,), WRITE),
    "volume rm": Case(("volume", "rm", "other"), "volume", ("",), (0, 1), WRITE),
    "volume prune": Case(("volume", "prune", "-f", "-a"), "volume", ("",), (0,), WRITE),
    "volume ls": Case(("volume", "ls"), "volume", ("",)),
    "volume inspect": Case(("volume", "inspect", "other"), "volume", ("",)),
    "port": Case(("port", "victim"), "running", ("running",)),
    "wait": Case(("wait", "victim"), "exited", ("exited",)),
    "restart": Case(("restart", "-t", "0", "victim"), "running", ("running", "exited"), (0,), WRITE),
    "update": Case(("update", "--restart", "always", "victim"), "running", ("running",), (0,), WRITE),
    "commit": Case(("commit", "victim", "other:1"), "exited", ("exited",), (0,), WRITE),
    "import": Case(("import", "ARCHIVE", "other:1"), "", ("",), (0,), WRITE),
    "commit, running": Case(("commit", "victim", "other:1"), "running", ("running",), (0,), WRITE, "client"),
    "attach": Case(("attach", "--no-stdin", "victim"), "exited", ("exited",), (1,)),
    "system df": Case(("system", "df"), "running", ("running",)),
    "diff": Case(("diff", "victim"), "exited", ("exited",)),
    "export": Case(("export", "-o", "/dev/null", "victim"), "exited", ("exited",)),
    "logs": Case(("logs", "victim"), "running", ("running",)),
    "top": Case(("top", "victim"), "running", ("running",)),
    "stats": Case(("stats", "--no-stream", "victim"), "running", ("running",)),
    "inspect": Case(("inspect", "victim"), "paused", ("paused",)),
    "ps": Case(("ps", "-a"), "running", ("running",)),
    "events": Case(("events", "--since", "1h", "--until", "0s"), "exited", ("exited",)),
    "images": Case(("images",), "", ("",)),
    "image-inspect": Case(("image-inspect", "IMAGE"), "", ("",)),
    "info": Case(("info",), "", ("",)),
}  # fmt: skip
GROUPS = {
    "container": app.CONTAINER_VERBS,
    "image": app.IMAGE_VERBS,
    "system": app.SYSTEM_VERBS,
    "volume": app.VOLUME_VERBS,
}
# What changes something is killed elsewhere. pull: test_kill_instants.py, test_pull_killed.py.
NOT_HERE = {"pull", "push", "save", "load", "image_sign"}  # test_killed_image_verbs.py, test_load_killed.py
NOT_HERE |= {"login", "logout", "image_generate_key_pair"}  # test_killed_user_files.py
NOT_HERE |= {"image_mount", "image_unmount", "fsck"}  # test_killed_mounts.py, test_fsck_hard_times.py
# These only look. container_inspect: as inspect. The others know no container and no image, or ask a registry alone.
NOT_HERE |= {"container_inspect", "version", "search", "image_verify"}


def test_every_verb_is_killed() -> None:
    every = {module for names in (app.VERBS, app.IMAGE_VERBS, *GROUPS.values()) for module in names.values()}
    assert {module_of(case.argv) for case in CASES.values()} == every - NOT_HERE


def module_of(argv: tuple[str, ...]) -> str:
    return GROUPS[argv[0]][argv[1]] if argv[0] in GROUPS else app.VERBS[argv[0]]


@pytest.fixture(scope="module")
def killing(shared_box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killing]:
    made = Killing(shared_box, tmp_path_factory.mktemp("killing"))
    (made.directory / "archive.tar").write_bytes(layer([entry("etc/imported", b"x" * 200_000)]))
    yield made
    shared_box.pyrun.ok("rm", "-f", "holder")


def prepare(killing: Killing, setup: str) -> None:
    for argv in SETUPS[setup]:
        killing.box.pyrun.ok(*words(killing, argv))


def words(killing: Killing, argv: tuple[str, ...]) -> list[str]:
    known = {
        "IMAGE": killing.box.image, "SOURCE": str(ROOT / "tests/support"), "TARGET": str(killing.directory),
        "ARCHIVE": str(killing.directory / "archive.tar"),
    }  # fmt: skip
    return [known.get(word, word) for word in argv]


# What only looks has nothing to leave half done: --full is enough for that.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "verb", [verb if case.weight > 1 else pytest.param(verb, marks=pytest.mark.full) for verb, case in CASES.items()]
)
def test_a_killed_client(killing: Killing, verb: str, pytestconfig: pytest.Config) -> None:
    case = CASES[verb]
    is_full = pytestconfig.getoption("--full")
    count = 3 * case.weight if is_full else 2
    killing.box.pyrun("rm", "-f", "-v", "victim", "renamed")  # what a test before has left when it failed
    prepare(killing, case.setup)
    counted = killing.step("client", 0, case.victims, *words(killing, case.argv))
    # Before the first call that names something of the store is the interpreter's start: nothing has happened by then.
    first, calls = counted["first"], counted["calls"]["client"]
    clean(killing)
    killed = 0
    for when in between(count, first if is_full else (first + calls) // 2, calls):
        prepare(killing, case.setup)
        killed += bool(killing.step("client", when, case.victims, *words(killing, case.argv))["killed"])
        if is_full:
            # A container has no name before its directory is in place: fsck says so of a killed create, and mends it.
            killing.is_sound(but="name" if case.argv[0] in ("create", "run") else "")
        check(killing, case, f"{verb}: killed at call {when} of {calls}")
        clean(killing)
    # Fewer calls than counted are made now and then (a lock that was free, a signal that was late).
    assert killed > count // 3


def check(killing: Killing, case: Case, when: str) -> None:
    if case is CASES["commit, running"]:
        killing.box.pyrun.ok("wait", "--condition", "running", "victim")  # paused for a moment yet
    states = killing.states()
    assert set(states) <= {"victim", "renamed"}, when
    assert len(states) <= 1, when
    state = next(iter(states.values()), "")
    assert state in case.leaves, when
    killing.everything_works()
    done = killing.box.pyrun(*words(killing, case.argv))
    assert done.returncode in case.again, f"{when}, left {state!r}; again: {done.returncode} {done.stderr}"
    assert "internal error" not in done.stderr, f"{when}; again: {done.stderr}"
    killing.everything_works()
    if state in ("running", "paused") and case.argv[0] in ("pause", "unpause", "exec", "rename"):
        name = next(iter(killing.states()))
        killing.box.pyrun("unpause", name)
        killing.box.pyrun.ok("exec", name, "true")


def clean(killing: Killing) -> None:
    if os.path.isdir(killing.layout.volume("other")):
        killing.box.pyrun.ok("volume", "rm", "other")
    # Also what a commit has left without a name, whose place another one took.
    for image in images.list_images(killing.layout):
        name = f"{image.repository}:{image.tag}" if image.tag else image.id
        if name != killing.box.image:
            killing.box.pyrun.ok("rmi", "-f", name)
    killing.clean()
