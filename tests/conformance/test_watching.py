"""top, stats, port, logs, events: the same command lines for pyrun and podman."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.conformance import Case, differs, same_as_podman

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine
    from tests.support.conformance import Podman, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

RUN = "run --network none"
SLEEP = f"{RUN} -d --name con {{image}} sleep 77"
TALK = f"{RUN} -d --name con {{image}} sh -c 'trap exit TERM; echo out; echo err >&2; while :; do sleep 0.1; done'"
CODES = "what fails: docker 1, podman 125"
COLUMNS = "docker has ps's columns and the machine's pids; podman its own, as seen inside"
FIELDS = "columns and fields: docker's; podman has its own"
NUMBERS = "--tail WORD: docker takes it for all, podman 125"
ID = "an image's id: docker: sha256: and the digits; podman: the digits"
PORTS = "a port that is not published: docker 1, podman 0"

CASES = [
    Case(
        "both streams, again after a restart", TALK, "logs con", "logs --tail 1 con", "logs -t con",
        "logs --since 0s con", "restart con", "logs con", "logs -t --tail 3 con", "stop con", "logs -f --tail 2 con",
        errors=True,
    ),
]  # fmt: skip
MORE = [
    Case("ports that are none", "create --network none --name con {image} true", "port con",
         differs("port con 80", PORTS, code=True)),
    Case("stats", SLEEP, "stats --no-stream --format '{{.Name}}' con", "rm -f -t 0 con"),
    Case("top", SLEEP, differs("top con", COLUMNS), differs("top con -eo pid,args", COLUMNS), "rm -f -t 0 con"),
    Case(
        "columns of top", SLEEP, differs("top con aux", COLUMNS), differs("top con -o nosuch", CODES, code=True),
        differs("top con pid", "podman has names of columns of its own", code=True),
    ),
    Case(
        "formats of stats", SLEEP, differs("stats --no-stream con", FIELDS),
        "stats --no-stream --no-trunc --format '{{.ID}}' con", differs("stats --no-stream --format json con", FIELDS),
        differs("stats --no-stream --format '{{.Container}}' con", FIELDS, code=True),
        differs("stats --no-stream --format '{{.Nosuch}}' con", CODES, code=True),
        "stats --no-stream -a --format '{{.Name}}'", "stop -t 0 con", "stats --no-stream --format '{{.Name}}' con",
    ),
    Case(
        "parts of a log", TALK, differs("logs --tail all con", NUMBERS, code=True), "logs --tail -1 con",
        differs("logs --tail x con", NUMBERS, code=True), differs("logs --since x con", CODES, code=True),
        differs("logs --until x con", CODES, code=True),
        differs("logs -n con", "-n: --tail in docker, names in podman", code=True),
        differs("logs --details con", "--details: docker sets a space before each line"),
        differs("logs con con", "several names: docker 1, podman 125", code=True),
    ),
]  # fmt: skip

LIFE = (
    "create --network none --name con {image} sleep 77", "start con", "exec con true", "rename con other",
    "restart -t 0 other", "commit other localhost/img", "rm -f -t 0 other",
)  # fmt: skip
# podman's words in docker's. Both have more words, each its own; podman says restart before what it is made of, and
# that an exec has ended whenever its cleanup comes to it, once or twice.
WORDS = {"died": "die", "remove": "destroy"}
SHARED = ("create", "start", "rename", "die", "commit", "destroy")


test_same_as_podman = same_as_podman(CASES)
test_more_of_the_same = same_as_podman(MORE, full=True)


def test_events_of_a_life(engines: tuple[CommandLine, Podman], images: Catalogue, same: Callable[[Case], None]) -> None:
    """Here is nothing to compare line by line: only the order of what both have words for."""
    pyrun, podman = engines
    same(Case("a life", *(line if "commit" not in line else differs(line, ID) for line in LIFE)))
    ours = pyrun.ok("events", "--since", "5m", "--until", "0s", "--filter", "type=container", "--format", "{{json .}}")
    theirs = podman("events", "--stream=false", "--since", "5m", "--filter", "type=container", "--format", "json")
    first = [action for action, _ in _last_life(ours, lambda event: (event["Action"], event["id"]))]
    then = [action for action, _ in _last_life(theirs.stdout, lambda event: (event["Status"], event["ID"]))]
    assert first == then
    assert first == ["create", "start", "rename", "die", "start", "commit", "die", "destroy"]


def _last_life(lines: str, read: Callable[[dict[str, str]], tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the events, in docker's words, of the container that was there last."""
    found = [read(json.loads(line)) for line in lines.splitlines()]
    return [
        (word, identity) for action, identity in found
        if identity == found[-1][1] and (word := WORDS.get(action, action)) in SHARED
    ]  # fmt: skip
