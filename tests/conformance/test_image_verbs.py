"""The verbs of images and manifest lists: the same command lines for pyrun and podman."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.conformance import Case, differs

if TYPE_CHECKING:
    from collections.abc import Callable

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

NAMES = "images --format '{{.Repository}}:{{.Tag}}'"
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
        differs(f"manifest rm {HERE}:list", WORDS), f"manifest exists {HERE}:list",
    ),
]  # fmt: skip
MORE = [
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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_as_podman(case: Case, same: Callable[[Case], None]) -> None:
    same(case)


@pytest.mark.full
@pytest.mark.parametrize("case", MORE, ids=lambda case: case.name)
def test_more_of_the_same(case: Case, same: Callable[[Case], None]) -> None:
    same(case)
