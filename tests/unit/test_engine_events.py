"""The record of events as it is written: whole lines from many writers, bounded, never the verb's trouble."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.engine import events
from pyrun.runtime.job import Job
from pyrun.store.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD: dict[str, Any] = {
    "id": "a" * 64, "name": "one", "image": "busybox:1", "labels": {"k": 'v "\n'}, "ephemeral": False, "mounts": [],
    "anonymous_volumes": [],
}  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "root").mkdir()
    return Layout(str(tmp_path / "root"), str(tmp_path / "run"))


def recorded(layout: Layout) -> list[dict[str, Any]]:
    paths = [Path(path) for path in (layout.events_older, layout.events)]
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def in_children(count: int, work: Callable[[int], None]) -> None:
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number)
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def test_an_event_of_a_container(layout: Layout) -> None:
    events.container(layout, "die", RECORD, exitCode="3")
    (event,) = recorded(layout)
    assert event.pop("timeNano") > 1_700_000_000_000_000_000
    assert len(event.pop("crc32")) == 8
    attributes = {"k": 'v "\n', "exitCode": "3", "image": "busybox:1", "name": "one"}
    assert event == {"Type": "container", "ID": "a" * 64, "Attributes": attributes, "Action": "die"}


def test_a_label_cannot_take_the_place_of_the_name(layout: Layout) -> None:
    events.container(layout, "start", {**RECORD, "labels": {"name": "forged", "image": "forged"}})
    assert recorded(layout)[0]["Attributes"] == {"name": "one", "image": "busybox:1"}


def test_labels_without_measure_are_left_out(layout: Layout) -> None:
    events.container(layout, "start", {**RECORD, "labels": {"k": "x" * 100_000}})
    assert recorded(layout)[0]["Attributes"] == {"name": "one", "image": "busybox:1"}


def test_a_container_that_cannot_be_read_has_no_events(layout: Layout) -> None:
    events.container(layout, "destroy", {"anonymous_volumes": []})
    assert recorded(layout) == []


def test_many_writers_and_a_bound(layout: Layout) -> None:
    def work(number: int) -> None:
        for count in range(800):
            events.emit(layout, "image", "pull", f"image-{number}-{count}", {"name": "x" * 300})

    in_children(4, work)
    sizes = [os.path.getsize(path) for path in (layout.events, layout.events_older)]
    assert max(sizes) < 2 * events.MAX_BYTES, "it grows a little while one of them moves it away"
    assert sizes[1] >= events.MAX_BYTES
    found = recorded(layout)  # every line is whole
    for number in range(4):  # nothing was lost by the rotation, and each writer's are in their order
        assert [event["ID"] for event in found if f"-{number}-" in event["ID"]] == [
            f"image-{number}-{count}" for count in range(800)
        ]


def test_the_directory_is_made_by_another_meanwhile(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def late(path: str, mode: int) -> None:
        real(path, mode)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", late)
    events.emit(layout, "image", "pull", "first", {})
    assert [event["ID"] for event in recorded(layout)] == ["first"]


def test_what_is_older_than_two_files_goes(layout: Layout) -> None:
    for count in range(200):
        events.emit(layout, "image", "pull", str(count), {"name": "x" * 20_000})
    left = [int(event["ID"]) for event in recorded(layout)]
    assert left == list(range(left[0], 200))
    assert events.MAX_BYTES < sum(os.path.getsize(path) for path in (layout.events, layout.events_older)) < 2.1 * 2**20


def test_what_cannot_be_written_is_no_failure(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "root" / "events").write_text("not a directory")
    events.container(layout, "start", RECORD)
    os.unlink(tmp_path / "root" / "events")
    os.rmdir(tmp_path / "root")
    events.container(layout, "start", RECORD)


def test_what_the_monitor_gets(layout: Layout) -> None:
    volume = {"type": "volume", "name": "v", "destination": "/data", "rw": False}
    orders = Job("a" * 64, "/dir")
    record = {**RECORD, "ephemeral": True, "mounts": [volume, {"type": "bind"}], "anonymous_volumes": ["v"]}
    events.prepare(layout, orders, record)
    assert orders.event is not None
    died = json.loads(orders.event + ',"exitCode":"1"},"Action":"die"}')
    assert died["Attributes"] == {"k": 'v "\n', "exitCode": "1", "image": "busybox:1", "name": "one"}
    (mounted,) = [json.loads(body + "}") for body in orders.events_started]
    assert (mounted["Type"], mounted["ID"], mounted["Action"]) == ("volume", "v", "mount")
    assert mounted["Attributes"] == {
        "container": "a" * 64, "driver": "local", "destination": "/data", "propagation": "", "read/write": "false",
    }  # fmt: skip
    assert [json.loads(body + "}")["Action"] for body in orders.events_ended] == ["unmount"]
    gone = [json.loads(body + "}") for body in orders.events_removed]
    assert [(event["Type"], event["Action"]) for event in gone] == [("container", "destroy"), ("volume", "destroy")]
