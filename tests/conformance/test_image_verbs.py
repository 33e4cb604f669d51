"""The verbs of images and manifest lists: the same command lines for pyrun and podman."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.conformance import Case, differs, same_as_podman

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine
    from tests.support.conformance import Engine, Podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

FAILS = "what fails: docker 1, podman 125"
ID = "an image's id: docker: sha256: and the digits; podman: the digits"
ALL_NAMES = "one of its names is asked for: docker lists that, podman all of the image's"
EACH_NAME = "an image with several names: docker's -q says its id for each, podman once"
IN_USE = "an image that a container uses: docker 1, podman 2"
SIZE = "docker's size is that of the files, podman's that of their archives"
SPACE = "docker prints the space that is free now, podman ids alone"
WORDS = "docker's words; podman prints ids"
TYPE = "a list is OCI's unless all of its images are docker's; podman's is docker's"
NAME = "-q: docker prints the name, podman nothing"

COLUMNS = "columns: docker's; podman has its own"
SENTENCES = "docker's sentences; podman has its own"
NOBODY = "nobody is logged in: docker 0, podman 125"

NAMES = "images --format '{{.Repository}}:{{.Tag}}'"
LOGIN = "login --tls-verify=false --authfile auth"
SEARCH = "search --tls-verify=false"
HERE = "example.test/con"  # with a registry: for a name without one docker says docker.io, podman localhost


def template(text: str) -> str:
    return f"image inspect --format {shlex.quote(text)} {{image}}"


CASES = [
    Case(
        # Not all images: others' cases have made some within one second, and then any order is right.
        "images", f"tag {{image}} {HERE}:1", differs(f"{NAMES} {HERE}", ALL_NAMES),
        differs(f"{NAMES} -f reference={HERE}:*", ALL_NAMES), f"{NAMES} {HERE}:2",
        f"{NAMES} -f dangling=false -f before={HERE}:1", f"{NAMES} -f label=nosuch", differs("images -q", EACH_NAME),
        differs("images -f nosuch=1", FAILS, code=True), differs("images -f since=nosuch", FAILS, code=True),
        "images -f x", f"untag {HERE}:1 {HERE}:1", f"image exists {HERE}:1", f"{NAMES} {HERE}",
    ),
    Case(
        "names", differs(f"tag nosuch {HERE}:2", FAILS, code=True), differs("tag {image} A", FAILS, code=True),
        differs(f"untag {{image}} {HERE}:2", FAILS, code=True), "image exists nosuch", "image exists A:",
        "image exists {image}",
    ),
    Case(
        "rmi", f"tag {{image}} {HERE}:1", f"create --name con {HERE}:1 true", f"rmi {HERE}:1",
        f"tag {{image}} {HERE}:2", f"rmi nosuch {HERE}:2", f"image exists {HERE}:2", "rmi -i nosuch", "rmi -f nosuch",
        differs("rmi", FAILS, code=True), differs("rmi {image}", IN_USE, code=True), "image exists {image}",
    ),
    Case(
        "history", "history -q {image}", differs("history --no-trunc -q {image}", ID),
        "history --no-trunc --format '{{.CreatedBy}}|{{.Comment}}' {image}",
        differs("history nosuch", FAILS, code=True),
    ),
    Case(
        "inspect", template("{{.Os}}/{{.Architecture}} {{.RepoTags}} {{.RepoDigests}} {{json .RootFS}} {{.Created}}"),
        template("{{.Config.Cmd}} {{.Config.Env}} {{.Author}}|{{.Comment}}|{{.GraphDriver.Name}}"),
        differs(template("{{.Id}}"), ID), differs(template("{{.Size}}"), SIZE),
        differs("image inspect nosuch", FAILS, code=True), differs("image tree {image}", SIZE),
        differs("image tree nosuch", FAILS, code=True),
    ),
    Case(
        "manifest", differs(f"manifest create {HERE}:list", WORDS), f"manifest exists {HERE}:list",
        differs(f"manifest create {HERE}:list", FAILS, code=True),
        differs(f"manifest add --tls-verify=false {HERE}:list docker://{{image}}", ID),
        differs(f"manifest inspect {HERE}:list", TYPE),
        differs(f"manifest annotate --arch arm64 {HERE}:list sha256:{'0' * 64}", FAILS, code=True),
        differs(f"manifest annotate --arch arm64 {HERE}:none sha256:{'0' * 64}", FAILS, code=True),
        differs(f"manifest rm {HERE}:list", WORDS), f"manifest exists {HERE}:list",
    ),
    Case(
        "login", differs(f"{LOGIN} -u me --password-stdin {{registry}}", SENTENCES, input="secret"),
        "login --authfile auth --get-login {registry}", differs("logout --authfile auth {registry}", SENTENCES),
        differs("logout --authfile auth {registry}", NOBODY, code=True),
        differs("login --authfile auth --get-login {registry}", FAILS, code=True),
        differs(f"{LOGIN} --password-stdin {{registry}}", FAILS, code=True, input="secret"),
    ),
]  # fmt: skip
MORE = [
    Case(
        "search", differs(f"{SEARCH} {{repository}}", COLUMNS), f"{SEARCH} --compatible=false {{repository}}",
        f"{SEARCH} --limit 1 --format '{{{{.Name}}}}' {{repository}}", f"{SEARCH} --list-tags {{repository}}",
        f"{SEARCH} --format '{{{{.Name}}}}' {{repository}}nosuch", differs("search", FAILS, code=True),
        differs(f"{SEARCH} --list-tags {{repository}}nosuch", FAILS, code=True),
        differs(f"{SEARCH} -f stars=x {{repository}}", FAILS, code=True),
    ),
    Case(
        "prune", differs("image prune -f --filter dangling=true", SPACE), "image exists {image}",
        differs("image prune -f --filter nosuch=x", FAILS, code=True),
    ),
    Case(
        "elsewhere", differs("push -q --tls-verify=false {image} {image}x", NAME),
        differs("push -q nosuch", FAILS, code=True), differs("save nosuch", FAILS, code=True),
        differs("load -i /etc/passwd", FAILS, code=True), differs("import /nosuch", FAILS, code=True),
    ),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
test_more_of_the_same = same_as_podman(MORE, full=True)


def test_digests(engines: tuple[CommandLine, Podman], images: Catalogue) -> None:
    """What `push --digestfile` writes, and what `manifest annotate` makes of an entry that it names."""
    pyrun, podman = engines
    asked = ("registry", "inspect", "--format", "{{.Digest}}")
    found = []
    both: list[tuple[Engine, Path]] = [(pyrun, pyrun.home), (podman, podman.directory)]
    for engine, home in both:
        to = f"{images.busybox}-{home.name}"
        done = engine("push", "-q", "--tls-verify=false", "--digestfile", "digest", images.busybox, to)
        assert done.returncode == 0, done.stderr
        assert (home / "digest").read_text() == pyrun.ok(*asked, to)
        name = f"{HERE}:annotated"
        marks = ("--arch", "arm64", "--variant", "v8", "--os-version", "1", "--annotation", "a=b")
        for words in (
            ("create", name), ("add", "--tls-verify=false", name, f"docker://{images.busybox}"),
            ("annotate", *marks, name, pyrun.ok(*asked, images.busybox)),
        ):  # fmt: skip
            done = engine("manifest", *words)
            assert done.returncode == 0, done.stderr
        found.append(json.loads(engine("manifest", "inspect", name).stdout)["manifests"])
        engine("manifest", "rm", name)
    assert found[0] == found[1]
