"""A verb is stopped at chosen system calls while others remove and prune what it works on, and then goes on.

Whenever that is: it has done its work, and the image is whole, or it says that there is no such image. What a pull has
found present is not collected under it. Two instants of `pull` without `--full`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pyrun.engine import images as image_list
from pyrun.store.sweep import sweep
from tests.support.boxes import push_layers
from tests.support.catalogue import busybox_layer
from tests.support.features import requires
from tests.support.holding import beside
from tests.support.images import entry, layer
from tests.support.killing import Killing, between

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay", "native", "registry")

SHARED = b"of both\n"
RUN = ("--network", "none", "--pull", "never")
# Between the look at what is there and the tag: the image's record gets its name, and then index.json.
PUBLISHED = r"/tmp/\S+ \S+/images/sha256", r"/tmp/\S+ \S+/oci/index\.json"


class Case(NamedTuple):
    """``before``: what is done first; ``is_sure``: the verb must succeed, whatever is removed meanwhile.

    ``after``: proves it, if it has. FIRST is in the store, SECOND is not, and has a layer of it.
    """

    argv: tuple[str, ...]
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    is_sure: bool = False


CASES = {
    "pull": Case(("pull", "-q", "SECOND"), ("run", "--rm", *RUN, "SECOND", "cat", "/shared"), is_sure=True),
    "pull, another tag": Case(("pull", "-q", "AGAIN"), ("run", "--rm", *RUN, "AGAIN", "cat", "/shared"), is_sure=True),
    "load": Case(("load", "-q", "-i", "ARCHIVE"), ("run", "--rm", *RUN, "SECOND", "cat", "/shared"), is_sure=True),
    "load, the same image": Case(
        ("load", "-q", "-i", "SAME"), ("run", "--rm", *RUN, "localhost/same:1", "cat", "/shared"), is_sure=True
    ),
    "tag": Case(("tag", "FIRST", "localhost/tagged:1")),
    "push": Case(("push", "-q", "FIRST", "PUSHED"), ("run", "--rm", "--network", "none", "PUSHED", "cat", "/shared")),
    "save": Case(("save", "-o", "OUT", "FIRST"), ("load", "-q", "-i", "OUT")),
    "run": Case(("run", "--rm", *RUN, "FIRST", "grep", "both", "/shared")),
    "run, missing": Case(("run", "--rm", "--network", "none", "FIRST", "grep", "both", "/shared"), is_sure=True),
    "create": Case(("create", "--name", "victim", *RUN, "FIRST", "cat", "/shared"), ("start", "-a", "victim")),
    "commit": Case(
        ("commit", "victim", "localhost/committed:1"),
        ("run", "--rm", *RUN, "localhost/committed:1", "ls", "/new", "/z"),
        ("run", "--name", "victim", *RUN, "FIRST", "touch", "/new", "/z"),
    ),
    "export": Case(
        ("export", "-o", "OUT", "victim"),
        ("import", "OUT", "localhost/exported:1"),
        ("run", "--name", "victim", *RUN, "FIRST", "touch", "/new", "/z"),
    ),
    "manifest create": Case(("manifest", "create", "--amend", "localhost/list:1", "FIRST")),
    "history": Case(("history", "FIRST")),
    "image inspect": Case(("image", "inspect", "FIRST")),
    "image diff": Case(("image", "diff", "BOX", "FIRST")),
    "image tree": Case(("image", "tree", "FIRST")),
    "images": Case(("images",), is_sure=True),
}  # fmt: skip
OTHERS = {
    "rmi": (("rmi", "-f", "FIRST"),),
    "image prune": (("image", "prune", "-a", "-f"),),
    "system prune": (("rm", "-f", "victim"), ("rmi", "-f", "FIRST"), ("system", "prune", "-f")),
}


class Store:
    """One store with `holder` in it, and the images of the cases."""

    def __init__(self, box: Box, registry: str, work: Path) -> None:
        shared = layer([entry("shared", SHARED)])
        self.killing = Killing(box, work)
        self.box = box
        self.out = work / "told.json"
        first = [busybox_layer(), shared]
        self.words = {
            "BOX": box.image,
            "FIRST": push_layers(registry, work, "held-first", first, {}),
            "SECOND": push_layers(registry, work, "held-second", [*first, layer([entry("own", b"x")])], {}),
            "AGAIN": push_layers(registry, work, "held-again", first, {}),
            "PUSHED": f"{registry}/held-pushed:1",
            **{word: str(work / word) for word in ("ARCHIVE", "SAME", "OUT")},
        }

    def archive(self) -> None:
        """Write the archives that `load` takes."""
        self.ok("pull", "-q", "SECOND")
        self.ok("save", "-o", "ARCHIVE", "SECOND")
        self.ok("pull", "-q", "FIRST")
        self.ok("tag", "FIRST", "localhost/same:1")
        self.ok("save", "-o", "SAME", "localhost/same:1")

    def said(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self.words.get(word, word) for word in argv)

    def ok(self, *argv: str) -> str:
        return self.box.pyrun.ok(*self.said(argv))

    def prepare(self, case: Case) -> None:
        """Have FIRST, and nothing else but what runs."""
        self.clean()
        for image in image_list.list_images(self.killing.layout):
            name = f"{image.repository}:{image.tag}" if image.tag else image.id
            if name not in (self.box.image, self.words["FIRST"]):
                self.box.pyrun.ok("rmi", "-f", name)
        self.ok("pull", "-q", "FIRST")
        if os.path.exists(self.words["OUT"]):
            os.unlink(self.words["OUT"])
        if case.before:
            self.ok(*case.before)

    def try_at(self, case: Case, others: tuple[tuple[str, ...], ...], at: str, role: str = "client") -> bool:
        """Stop the verb, do the others, let it go on; False if the instant never came."""
        self.prepare(case)
        told = beside(
            self.box.pyrun, at, self.said(case.argv), [self.said(other) for other in others], role=role, out=self.out
        )
        when = f"{case.argv} stopped at {role} {at}: {told}"
        for code, text in told["others"]:
            assert code == 0 or "no such" in text, when
            assert "internal error" not in text, when
        if told["status"]:
            assert not case.is_sure, when
            assert "no such" in told["error"], when
        elif case.after:
            done = self.box.pyrun(*self.said(case.after))
            assert done.returncode == 0, f"{when}; afterwards: {done.stderr}"
        self.killing.is_sound()
        self.clean()
        self.killing.everything_works()
        self.what_is_listed_runs()
        assert sweep(self.killing.layout) == []
        for place in ("tmp", "trash", "leases"):
            assert os.listdir(self.box.pyrun.root / place) == [], when
        return bool(told["others"])

    def clean(self) -> None:
        """Remove what is no image."""
        if self.killing.states():
            self.ok("rm", "-f", "victim")
        if os.path.isdir(self.killing.layout.manifest_lists) and os.listdir(self.killing.layout.manifest_lists):
            self.ok("manifest", "rm", "localhost/list:1")

    def what_is_listed_runs(self) -> None:
        for image in image_list.list_images(self.killing.layout):
            name = f"{image.repository}:{image.tag}" if image.tag else image.id
            if name != self.box.image:
                self.box.pyrun.ok("run", "--rm", *RUN, name, "cat", "/shared")


@pytest.fixture
def store(box: Box, registry: str, tmp_path: Path) -> Iterator[Store]:
    yield Store(box, registry, tmp_path)
    box.pyrun.ok("rm", "-f", "holder")


def test_what_a_pull_has_found_stays(store: Store) -> None:
    for at in PUBLISHED:
        assert store.try_at(CASES["pull"], OTHERS["rmi"], at)


# Who only looks, or does one step under a lock, is disturbed in one way alone.
TRIED = [(verb, way) for verb in CASES for way in OTHERS if way == "rmi" or CASES[verb].after]


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("verb", "others"), TRIED)
def test_what_a_verb_has_found_stays_or_is_missed(store: Store, verb: str, others: str) -> None:
    case = CASES[verb]
    store.archive()
    store.prepare(case)
    counted = beside(store.box.pyrun, "0", store.said(case.argv), (), out=store.out)
    assert counted["status"] == 0, counted
    instants = [(str(when), "client") for when in between(10, counted["first"], counted["calls"]["client"])]
    if "helper" in counted["calls"]:
        instants += [(str(when), "helper") for when in between(6, 1, counted["calls"]["helper"])]
    if verb.startswith(("pull", "load")):
        instants += [(at, "client") for at in PUBLISHED]
    # How many calls come before the store is touched differs from run to run.
    assert sum(store.try_at(case, OTHERS[others], *instant) for instant in instants) > 2
