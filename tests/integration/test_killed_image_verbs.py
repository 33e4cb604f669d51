"""SIGKILL at system calls of the verbs that change tags and lists, and of those that write elsewhere.

Whenever that is, what shows is whole, fsck finds nothing, the next sweep leaves nothing, and the verb does its work.
``--full`` takes fifteen instants of each, otherwise one of `save`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pyrun.engine import fsck, images
from pyrun.engine.findings import Options
from pyrun.engine.image_inspect import image_inspect
from pyrun.store.sweep import sweep
from tests.integration.test_load import NAMES, do
from tests.integration.test_load import layout as layout  # the fixture
from tests.support import archives
from tests.support.features import ROOT, requires
from tests.support.killing import INSTANTS, between, stepped
from tests.support.registry_taking import TakingRegistry
from tests.support.signing import KEY
from tests.support.store_images import FORM

if TYPE_CHECKING:
    from pathlib import Path

    from pyrun.store.layout import Layout

pytestmark = requires("native")

HEAD = """
import sys
from pyrun.engine import manifest_list, manifest_push, push, remote_copy, rmi, save, signing, tag, untag
from pyrun.engine.remote import Access
from pyrun.store.layout import Layout
root, runtime, image, other, output, domain = sys.argv[1:]
key = output.rpartition('/')[0] + '/key'
layout = Layout(root, runtime)
manifest_push.namespace.register = lambda layout: None
"""
PUSH = "for _ in push.push(layout, image, domain + '/to:1'): pass"
CREATE = "manifest_list.create(layout, 'localhost/l', [image], Access(), amend=True, all_platforms=False)"
ADD = "manifest_list.add(layout, 'localhost/l', [other], Access(), manifest_list.Marks(), all_platforms=False)"


class Case(NamedTuple):
    """``before``: makes what the verb needs; it may be done twice."""

    verb: str
    before: str = ""


CASES = {
    "tag": Case("tag.tag(layout, image, 'localhost/new:1')"),
    "untag": Case("untag.untag(layout, image, ['localhost/new:1'])", "tag.tag(layout, image, 'localhost/new:1')"),
    "rmi": Case("rmi.remove_image(layout, 'localhost/new:1')", "tag.tag(layout, image, 'localhost/new:1')"),
    "save": Case("save.save(layout, [image], save.Options(output=output))"),
    "save, a directory": Case("save.save(layout, [image], save.Options(output=output, format='oci-dir'))"),
    "manifest create": Case(CREATE),
    "manifest add": Case(ADD, CREATE),
    "manifest rm": Case("manifest_push.rm(layout, 'localhost/l')", CREATE),
    "push": Case(PUSH),
    "registry copy": Case(
        "remote_copy.copy(domain + '/to:1', [domain + '/copy:1'], source_access=Access(), access=Access())",
        PUSH,
    ),
    "image sign": Case("signing.sign(layout, domain + '/to:1', key, lambda: b'x')", PUSH),
    "manifest push": Case("manifest_push.push(layout, 'localhost/l', domain + '/l:1', Access())", CREATE),
}


def run(layout: Layout, text: str, out: Path, when: int, domain: str) -> dict[str, Any]:
    """Run a piece of Python under the stepper; `when` 0: to its end."""
    names = [names[0] for _, names in NAMES]
    argv = [sys.executable, "-c", HEAD + text, layout.root, layout.runtime, names[0], names[-1], str(out), domain]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return stepped(
        out.parent / "told.json", "client", when, "client,helper", layout.root, argv, environment=environment
    )


def is_whole(layout: Layout, where: Path) -> None:
    for image in images.list_images(layout):
        image_inspect(layout, image.id, form=FORM)
    assert len({image.id for image in images.list_images(layout)}) == len(NAMES)
    assert sweep(layout) == []
    for place in (layout.tmp, layout.trash, layout.leases):
        assert os.listdir(place) == []
    assert not [name for name in os.listdir(where) if name.endswith(".part") and os.path.isfile(where / name)]


def kill(layout: Layout, tmp_path: Path, verb: str, count: int) -> None:
    case = CASES[verb]
    (tmp_path / "in").write_bytes(archives.tar(archives.layout(*NAMES)))
    do(layout, tmp_path / "in")
    place = tmp_path / "to"
    place.mkdir()
    with TakingRegistry() as taking:
        (place / "key").write_bytes(KEY.encrypted(b"x"))
        prepare(layout, case, place / "out", taking.domain)
        counted = run(layout, case.verb, place / "out", 0, taking.domain)
        assert counted["status"] == 0
        # Before the first call that names something of the store is Python's start, which touches nothing.
        for when in between(count, counted["first"], counted["calls"]["client"]):
            out = place / f"out{when}"
            taking.manifests.clear()
            prepare(layout, case, out, taking.domain)
            told = run(layout, case.verb, out, when, taking.domain)
            if told["killed"]:
                INSTANTS.add((verb, "client", str(when), "client,helper"))
            is_whole(layout, place)
            assert fsck.fsck(layout, Options()).is_clean
            prepare(layout, case, out, taking.domain)
            assert run(layout, case.verb, out, 0, taking.domain)["status"] == 0 or out.exists()
            is_whole(layout, place)
            assert not [name for name in os.listdir(place) if name.endswith(".part")]
            assert signatures(taking) == (1 if verb == "image sign" else 0)
    assert fsck.fsck(layout, Options()).is_clean


def signatures(taking: TakingRegistry) -> int:
    """Return how many signatures the registry has."""
    found = [json.loads(data) for (_, tag), (_, data) in taking.manifests.items() if tag.endswith(".sig")]
    return sum(len(manifest["layers"]) for manifest in found)


def prepare(layout: Layout, case: Case, out: Path, domain: str) -> None:
    if case.before:
        assert run(layout, case.before, out, 0, domain)["status"] == 0


def test_killed(layout: Layout, tmp_path: Path) -> None:
    kill(layout, tmp_path, "save, a directory", 1)


@pytest.mark.full
@pytest.mark.parametrize("verb", CASES)
def test_killed_at_many_calls(layout: Layout, tmp_path: Path, verb: str) -> None:
    kill(layout, tmp_path, verb, 15)
