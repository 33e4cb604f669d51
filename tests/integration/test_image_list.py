"""`images`, `history`, `image inspect|tree|diff|exists`, `tag`, `untag`: what is told of images, and their names."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import push_layers
from tests.support.command_line import CommandLine
from tests.support.features import requires
from tests.support.images import directory, entry, layer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = requires("userns", "subids")

BASE = layer([directory("etc"), entry("etc/kept", b"kept"), entry("etc/gone", b"x"), entry("etc/same", b"aaaa")])
HISTORY = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "COPY " + "long " * 20, "comment": "first"},
    {"created": "2024-01-02T00:00:00+02:00", "created_by": "ENV\tA=1", "empty_layer": True},
    {"created": "2024-01-03T00:00:00Z", "created_by": "RUN x"},
]


@pytest.fixture(scope="module")
def names(registry: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An image of one layer and one that is built on it."""
    work = tmp_path_factory.mktemp("images")
    top = layer([entry("etc/.wh.gone"), entry("etc/new", b"12345"), entry("etc/same", b"bbbb")])
    base = push_layers(
        registry, work, "base", [BASE], {"Labels": {"a": "1"}}, created="2024-01-01T00:00:00Z", history=HISTORY[:1]
    )
    child = push_layers(
        registry, work, "child", [BASE, top], {"Labels": {"a": "2", "b": ""}}, created="2024-01-03T00:00:00Z",
        history=HISTORY,
    )  # fmt: skip
    return base, child


@pytest.fixture(scope="module")
def store(names: tuple[str, str]) -> Iterator[CommandLine]:
    """A store with both, for questions that change nothing."""
    command = CommandLine(Path(tempfile.mkdtemp(prefix="pyrun-", dir="/var/tmp")))
    for name in reversed(names):
        command.ok("pull", "-q", name)
    yield command
    assert command.remove_everything().returncode == 0


def listed(pyrun: CommandLine, *options: str) -> list[str]:
    return pyrun.ok("images", "--format", "{{.Repository}}:{{.Tag}}", *options).split()


def test_list(store: CommandLine, names: tuple[str, str]) -> None:
    base, child = names
    head, first, second = store.ok("image", "ls").split("\n")
    assert head.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert first.split()[0] + ":1" == child  # the newest, though it was pulled before
    assert second.split()[0] + ":1" == base
    assert second.endswith("9B")
    assert "ago" in second
    ids = store.ok("images", "-q", "--no-trunc").split()
    assert [len(one) for one in ids] == [71, 71]
    assert store.ok("images", "-n").split("\n") == [first, second]
    assert store.ok("images", "-n", "nosuch") == ""
    assert store.ok("images", "-q").split() == [one[7:19] for one in ids]
    digest = json.loads(store.ok("images", "--format", "json", child))["Digest"]
    assert digest.startswith("sha256:")
    assert digest not in ids
    assert digest in store.ok("images", "--digests")
    # Several names of one image: a line each.
    store.ok("tag", base, "short:v1")
    assert listed(store) == [child, base, "short:v1"]
    store.ok("rmi", "short:v1")
    assert listed(store, "--sort", "repository") == [base, child]
    assert listed(store, "--sort", "created") == [child, base]
    assert "cannot sort by 'age'" in store.fails(1, "images", "--sort", "age")


def test_filters(store: CommandLine, names: tuple[str, str]) -> None:
    base, child = names
    repository = child.removesuffix(":1")
    for options, expected in [
        (("-f", "label=a"), [child, base]),
        (("-f", "label=a=1"), [base]),
        (("-f", "label=a", "-f", "label=b"), [child]),
        (("-f", "label!=b"), [base]),
        (("-f", f"before={child}"), [base]),
        (("-f", f"since={base}"), [child]),
        (("-f", "until=2024-01-02T00:00:00Z"), [base]),
        (("-f", f"reference={repository}"), [child]),
        (("-f", "reference=*/chi*", "-f", "reference=*/b*:1"), [child, base]),
        (("-f", "reference=*/[cx]hild:?"), [child]),
        (("-f", "reference=*"), []),
        (("-f", "reference=*/chi*", "-f", "label=a=1"), []),
        ((repository,), [child]),
        ((child,), [child]),
        (("nobody",), []),
        (("-f", "dangling=true"), []),
        (("-f", "dangling=false"), [child, base]),
    ]:
        assert listed(store, *options) == expected, options
    for code, words, message in [
        (125, "label", "bad format of filter"),
        (1, "colour=red", "invalid filter 'colour'"),
        (1, "dangling=perhaps", "invalid filter 'dangling=perhaps'"),
        (1, "before=nobody", "no such image: nobody"),
        (1, "until=yesterday", "invalid time"),
    ]:
        assert message in store.fails(code, "images", "-f", words)


def test_a_tag_that_moves(pyrun: CommandLine, names: tuple[str, str]) -> None:
    base, child = names
    for name in names:
        pyrun.ok("pull", "-q", name)
    ids = {name: pyrun.ok("image", "inspect", "-f", "{{.Id}}", name) for name in names}
    manifests = {name: pyrun.ok("image", "inspect", "-f", "{{.Pyrun.Manifest}}", name) for name in names}
    assert pyrun.ok("image", "inspect", "-f", "{{.Metadata.LastTagTime}}", base).startswith("20")
    pyrun.ok("tag", base, "mine")
    pyrun.ok("tag", child, "mine")
    assert pyrun.ok("image", "inspect", "-f", "{{.Id}}", "mine") == ids[child]
    pyrun.ok("untag", base)
    # It stays, under the repository that its digest is of; a digest is no tag.
    assert pyrun.ok("images", "-f", "dangling=true", "-q", "--no-trunc") == ids[base]
    assert pyrun.ok("image", "inspect", "-f", "{{.RepoTags}}", ids[base]) == "[]"
    told = pyrun.ok("images", "--history", "-f", "dangling=true", "--format", "{{.History}}")
    assert told == f"{base}, mine:latest"
    assert "it has no tag mine" in pyrun.fails(1, "untag", ids[base], "mine")
    pyrun.ok("untag", child, "mine:latest")
    rows = [
        json.loads(line) for line in pyrun.ok("history", "--tags", "--no-trunc", "--format", "json", "mine").split("\n")
    ]
    assert [(row["Action"], row["From"], row["To"]) for row in rows] == [
        ("removed", manifests[child], "<none>"),
        ("moved", manifests[base], manifests[child]),
        ("set", "<none>", manifests[base]),
    ]
    pyrun.ok("rmi", child)
    assert pyrun.ok("image", "history", "--tags", child).split("\n")[1].split()[2:4] == [
        "removed",
        manifests[child][:19],
    ]
    assert "no record of tag: never" in pyrun.fails(1, "history", "--tags", "never")


def test_history(store: CommandLine, names: tuple[str, str]) -> None:
    _, child = names
    image_id = store.ok("image", "inspect", "-f", "{{.Id}}", child)
    rows = [json.loads(line) for line in store.ok("history", "--format", "json", child).split("\n")]
    assert [row["ID"] for row in rows] == [image_id[7:19], "<missing>", "<missing>"]
    assert [row["Size"] for row in rows] == ["9B", "0B", "9B"]
    assert [row["CreatedBy"] for row in rows] == ["RUN x", "ENV A=1", ("COPY " + "long " * 20)[:44] + "…"]
    assert rows[2]["Comment"] == "first"
    bare = store.ok("history", "-H=false", "--no-trunc", child).split("\n")
    assert bare[0].split() == ["IMAGE", "CREATED", "AT", "CREATED", "BY", "SIZE", "COMMENT"]
    assert bare[1].split() == [image_id, "2024-01-03T00:00:00Z", "RUN", "x", "9"]
    assert "2024-01-01T22:00:00Z" in bare[2]
    assert "long " * 20 in bare[3]
    assert store.ok("history", "-q", "--no-trunc", child).split() == [image_id, "<missing>", "<missing>"]
    assert "no such image" in store.fails(1, "history", "nobody")


def test_what_is_no_name(store: CommandLine) -> None:
    for verb in ("pull", "push"):
        done = store(verb, "-")
        assert (done.returncode, done.stdout) == (1, "")
        assert "invalid image reference: '-'" in done.stderr
    missing = store.fails(1, "history", "sha256:" + "0" * 64)
    assert "hint: `pyrun images --no-trunc`" in missing, "no registry knows an image by its id"
    assert "no image for linux/s390x" in store.fails(1, "pull", "--arch", "s390x", listed(store)[0])


def test_of_a_platform(store: CommandLine, names: tuple[str, str]) -> None:
    base, _ = names
    here = store.ok("image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", base)
    assert store.ok("history", "-q", "--platform", here, base) == store.ok("history", "-q", base)
    assert store.ok("image", "inspect", "--platform", here, base) == store.ok("image", "inspect", base)
    for verb in (("history",), ("image", "inspect")):
        assert f"no image for linux/s390x: {base}" in store.fails(1, *verb, "--platform", "linux/s390x", base)
        assert "invalid platform" in store.fails(1, *verb, "--platform", "a/b/c/d", base)


def test_found_by_every_name(store: CommandLine, names: tuple[str, str]) -> None:
    base, child = names
    (document,) = json.loads(store.ok("image", "inspect", child))
    manifest = document["Pyrun"]["Manifest"]
    assert manifest != document["Id"]
    assert document["RepoDigests"] == [f"{child.removesuffix(':1')}@{manifest}"]
    assert document["Architecture"]
    assert document["Created"] == "2024-01-03T00:00:00Z"
    for name in (document["Id"], document["Id"][7:], document["Id"][7:15], document["RepoDigests"][0]):
        assert store.ok("image", "inspect", "-f", "{{.Id}}", name) == document["Id"]
        assert store("image", "exists", name).returncode == 0
    # The other image's name with this digest is no name.
    assert store("image", "exists", f"{base.removesuffix(':1')}@{manifest}").returncode == 1
    assert store("image", "exists", "nobody").returncode == 1
    assert store("image", "exists", "No Name").returncode == 125
    both = store("image", "inspect", "-f", "{{.Architecture}}", base, "nobody", child)
    assert (both.returncode, len(both.stdout.split())) == (1, 2)
    assert "no such image: nobody" in both.stderr
    assert store("image", "inspect", "nobody").stdout == "[]\n"


def test_tree(store: CommandLine, names: tuple[str, str]) -> None:
    base, child = names
    lines = store.ok("image", "tree", child).split("\n")
    assert lines[1:4] == [f"Tags:     [{child}]", "Size:     18B", "Image Layers"]
    assert lines[4].startswith("├── ID: ")
    assert lines[4].endswith(f"Size: 9B Top Layer of: [{base}]")
    assert lines[5].startswith("└── ID: ")
    lines = store.ok("image", "tree", "--whatrequires", base).split("\n")
    assert lines[4].endswith(f"Top Layer of: [{base}]")
    assert lines[5].startswith("    └── ID: ")
    assert lines[5].endswith(f"Size: 9B Top Layer of: [{child}]")


def test_diff(store: CommandLine, names: tuple[str, str]) -> None:
    base, child = names
    expected = ["C /etc", "D /etc/gone", "A /etc/new", "C /etc/same"]
    assert store.ok("image", "diff", child).split("\n") == expected
    assert store.ok("image", "diff", child, base).split("\n") == expected
    assert store.ok("image", "diff", base, child).split("\n") == [
        "C /etc", "A /etc/gone", "D /etc/new", "C /etc/same",
    ]  # fmt: skip
    assert store.ok("image", "diff", child, child) == ""
    assert json.loads(store.ok("image", "diff", "--format", "json", base)) == {
        "added": ["/etc", "/etc/gone", "/etc/kept", "/etc/same"]
    }
    assert "unknown --format" in store.fails(1, "image", "diff", "--format", "xml", base)
    assert "no such image: nobody" in store.fails(1, "image", "diff", base, "nobody")
