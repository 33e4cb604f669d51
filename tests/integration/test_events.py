"""`events`: what a life leaves in the record, how it is filtered and shown, and that it is followed as it grows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay")

NONE = ("--network", "none")


def past(box: Box, *arguments: str) -> list[dict[str, Any]]:
    out = box.pyrun.ok("events", "--since", "1h", "--until", "0s", "--format", "json", *arguments)
    return [json.loads(line) for line in out.splitlines()]


def actions(events: list[dict[str, Any]]) -> list[str]:
    return [f"{event['Type']} {event['Action']}" for event in events]


@contextmanager
def following(box: Box, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = box.pyrun.popen("events", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_events_of_a_life(box: Box) -> None:
    box.pyrun.ok(
        "run", "-d", "--name", "one", "--label", "tier=web", *NONE, "-v", "data:/data", box.image, "sleep", "99"
    )
    box.pyrun.ok("exec", "one", "true")
    box.pyrun.ok("rename", "one", "two")
    box.pyrun.ok("stop", "-t", "0", "two")
    box.pyrun.ok("start", "two")
    box.pyrun.ok("kill", "-s", "KILL", "two")
    box.pyrun.ok("rm", "two")
    found = past(box)
    assert actions(found) == [
        "image pull", "volume create", "container create", "volume mount", "container start",
        "container exec_create: true", "container exec_start: true", "container exec_die", "container rename",
        "container kill", "container kill", "container die", "volume unmount", "container stop",
        "volume mount", "container start", "container kill", "container die", "volume unmount", "container destroy",
    ]  # fmt: skip
    life = [event for event in found if event["Type"] == "container"]
    assert len({event["Actor"]["ID"] for event in life}) == 1
    # Also those that the monitor wrote, which knows the first name only.
    assert [event["Actor"]["Attributes"]["name"] for event in life] == ["one"] * 5 + ["two"] * 9
    assert {event["Actor"]["Attributes"]["tier"] for event in life} == {"web"}
    assert life[5]["Actor"]["Attributes"]["oldName"] == "/one"
    assert [event["Actor"]["Attributes"].get("signal") for event in life if event["Action"] == "kill"] == [
        "15",
        "9",
        "9",
    ]
    assert [event["Actor"]["Attributes"].get("exitCode") for event in life if "die" in event["Action"]] == [
        "0",
        "137",
        "137",
    ]
    assert [event["timeNano"] for event in found] == sorted(event["timeNano"] for event in found)


def test_an_attached_run_with_rm(box: Box) -> None:
    box.pyrun("run", "--rm", *NONE, "-v", "/anonymous", box.image, "sh", "-c", "exit 7")
    found = past(box)
    assert actions(found)[1:] == [
        "volume create", "container create", "container attach", "volume mount", "container start", "container die",
        "volume unmount", "container destroy", "volume destroy",
    ]  # fmt: skip
    assert found[6]["Actor"]["Attributes"]["exitCode"] == "7"


def test_a_start_that_fails(box: Box) -> None:
    box.pyrun.fails(127, "run", "--rm", *NONE, "-v", "vv:/v", box.image, "nothing-here")
    assert actions(past(box))[1:] == ["volume create", "container create", "container attach", "container destroy"]


def test_images(box: Box) -> None:
    image_id = box.pyrun.ok("images", "-q", "--no-trunc")
    box.pyrun.ok("tag", box.image, "other:2")
    box.pyrun.ok("rmi", "other:2")
    box.pyrun.ok("rmi", box.image)
    found = past(box)
    assert actions(found) == ["image pull", "image tag", "image untag", "image untag", "image untag", "image delete"]
    assert found[0]["Actor"] == {"ID": box.image, "Attributes": {"name": box.image.rpartition(":")[0]}}
    assert found[0]["status"] == "pull"
    assert found[0]["id"] == box.image
    assert found[1]["Actor"] == {"ID": image_id, "Attributes": {"name": "other:2"}}
    assert found[-1]["Actor"] == {"ID": image_id, "Attributes": {"name": image_id}}


def test_dockers_json(box: Box) -> None:
    box.pyrun.ok("create", "--name", "one", *NONE, box.image)
    line = box.pyrun.ok(
        "events", "--since", "1h", "--until", "0s", "--format", "{{json .}}", "--filter", "event=create"
    )
    event = json.loads(line)
    assert list(event) == ["status", "id", "from", "Type", "Action", "Actor", "scope", "time", "timeNano"]
    assert (event["status"], event["from"], event["Type"], event["scope"]) == (
        "create",
        box.image,
        "container",
        "local",
    )
    assert event["Actor"] == {"ID": event["id"], "Attributes": {"image": box.image, "name": "one"}}
    assert event["timeNano"] // 10**9 == event["time"]


def test_dockers_line_and_a_template(box: Box) -> None:
    container_id = box.pyrun.ok("create", "--name", "one", "--label", "a=\x1b[31m\n", *NONE, box.image)
    arguments = ("events", "--since", "1h", "--until", "0s", "--filter", "container=one")
    line = box.pyrun.ok(*arguments)
    moment, rest = line.split(" ", 1)
    assert len(moment) == len("2006-01-02T15:04:05.000000000Z")
    # What a label holds can neither forge a line nor talk to the terminal.
    assert rest == f"container create {container_id} (a=\\x1b[31m\\n, image={box.image}, name=one)"
    template = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Scope}}"
    assert box.pyrun.ok(*arguments, "--format", template) == f"container create {container_id} one local"
    # Go's struct: its fields in order, a map in it.
    assert box.pyrun.ok(*arguments, "--format", "{{json .Actor}}").startswith(
        f'{{"ID":"{container_id}","Attributes":{{"a":'
    )
    actor = f"{{{container_id} map[a:\x1b[31m\n image:{box.image} name:one]}}"
    assert box.pyrun.ok(*arguments, "--format", "{{.Actor}}{{.Actor.Attributes.zz}}") == f"{actor}<no value>"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["type=image"], ["image pull"]),
        (["event=create", "event=destroy"], ["container create", "container create", "container destroy"]),
        (["event=exec_create"], ["container exec_create: true"]),
        (["container=on"], ["container create", "container destroy"]),
        (["container=one", "event=create"], ["container create"]),
        (["label=a"], ["container create", "container destroy"]),
        (["label=a=b", "label=c"], []),
        (["scope=swarm"], []),
        (["image=IMAGE", "event=create"], ["container create", "container create"]),
        (["image=REPOSITORY", "type=image"], ["image pull"]),
        (["daemon=x"], []),
    ],
)
def test_filters(box: Box, filters: list[str], expected: list[str]) -> None:
    box.pyrun.ok("create", "--name", "one", "--label", "a=b", *NONE, box.image)
    box.pyrun.ok("run", "-d", "--name", "two", *NONE, box.image, "sleep", "99")
    box.pyrun.ok("exec", "two", "true")
    box.pyrun.ok("rm", "one")
    words = [text.replace("IMAGE", box.image).replace("REPOSITORY", box.image.rpartition(":")[0]) for text in filters]
    assert actions(past(box, *(word for text in words for word in ("--filter", text)))) == expected


def test_what_is_refused(box: Box) -> None:
    assert "invalid filter 'colour'" in box.pyrun.fails(1, "events", "--filter", "colour=red")
    assert "bad format of filter" in box.pyrun.fails(125, "events", "--filter", "container")
    assert "can't evaluate field status" in box.pyrun.fails(64, "events", "--until", "0s", "--format", "{{.status}}")
    assert "unclosed action" in box.pyrun.fails(64, "events", "--format", "{{.Type")
    assert "`since` time cannot be after `until`" in box.pyrun.fails(1, "events", "--since", "1m", "--until", "1h")
    assert "invalid time" in box.pyrun.fails(1, "system", "events", "--since", "tomorrow")


def test_following(box: Box) -> None:
    words = ("--format", "{{.Action}} {{.Actor.Attributes.name}}", "--filter", "type=container", "--until", "9" * 15)
    with following(box, *words) as process:  # until a time that no poll(2) could wait for
        assert process.stdout is not None
        watched(process.pid)
        box.pyrun.ok("run", "-d", "--rm", "--name", "one", *NONE, box.image, "sleep", "99")
        assert [process.stdout.readline() for _ in range(2)] == [b"create one\n", b"start one\n"]
        box.pyrun.ok("rename", "one", "two")
        box.pyrun.ok("kill", "two")
        expected = [b"rename two\n", b"kill two\n", b"die two\n", b"destroy two\n"]
        assert [process.stdout.readline() for _ in range(4)] == expected
        # A record that was moved away, and a new one that grows beside it.
        record = box.pyrun.root / "events/record"
        with open(record, "ab") as file:
            file.write(b"x" * (1 << 20) + b"\n")
        for name in ("three", "four"):
            box.pyrun.ok("create", "--name", name, *NONE, box.image)
        assert [process.stdout.readline() for _ in range(2)] == [b"create three\n", b"create four\n"]
        assert record.with_suffix(".1").exists()


def watched(pid: int) -> None:
    """Wait until a process waits on its inotify descriptor: then it has seen all that was before."""
    while True:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
            if "poll" in file.read() and any(
                "inotify" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
            ):
                return


def test_following_until(box: Box) -> None:
    """With an end that has not come, what is recorded is shown, and then what comes until then."""
    box.pyrun.ok("create", "--name", "one", *NONE, box.image)
    out = box.pyrun.ok("events", "--until", "-1s", "--format", "{{.Action}}")  # a second from now
    assert out.splitlines() == ["pull", "create"]


def test_a_line_that_was_cut(box: Box) -> None:
    record = box.pyrun.root / "events/record"
    with open(record, "ab") as file:
        file.write(b'{"Type":"container","ID":"half')  # a full disk; what follows stands behind it
    box.pyrun.ok("create", "--name", "one", *NONE, box.image)
    assert actions(past(box)) == ["image pull", "container create"]


def test_a_store_without_a_place_for_events(box: Box) -> None:
    record = box.pyrun.root / "events/record"
    record.unlink()
    record.parent.rmdir()
    assert box.pyrun.ok("events", "--since", "1h", "--until", "0s") == ""
    record.parent.write_text("somebody's file")
    assert box.pyrun.ok("run", "--rm", *NONE, box.image, "echo", "fine") == "fine"
    record.parent.unlink()
    box.pyrun.ok("create", "--name", "one", *NONE, box.image)
    assert actions(past(box)) == ["container create"]
