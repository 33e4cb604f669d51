"""Reading the monitor's log files: tail, times, rotation, following to the end."""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyrun.cli import main
from pyrun.engine import logs
from tests.unit.test_engine_ps import World

SECOND = 10**9
START = 1704067200  # 2024-01-01T00:00:00Z


def line(number: int, stream: str = "stdout") -> bytes:
    time = f"2024-01-01T00:{number // 60:02}:{number % 60:02}.000000000Z"
    return json.dumps({"log": f"line {number}\n", "stream": stream, "time": time}).encode() + b"\n"


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)


def log_of(world: World, status: str = "exited") -> Path:
    directory = Path(world.layout.container(world.add("1", status)), "logs")
    directory.mkdir()
    return directory


def texts(world: World, **more: Any) -> list[int]:
    return [int(record.text.split()[1]) for record in logs.read(world.layout, "name1", **more) if record is not None]


def test_files_are_read_oldest_first(world: World) -> None:
    directory = log_of(world)
    (directory / "json.log.2").write_bytes(line(1) + line(2))
    (directory / "json.log.1").write_bytes(line(3))
    (directory / "json.log").write_bytes(line(4) + line(5))
    assert texts(world) == [1, 2, 3, 4, 5]
    for tail in range(7):
        assert texts(world, tail=tail) == [1, 2, 3, 4, 5][max(0, 5 - tail) :], tail
        assert texts(world, tail=tail, follow=True) == [1, 2, 3, 4, 5][max(0, 5 - tail) :], tail
    assert texts(world, since=(START + 3) * SECOND) == [3, 4, 5]
    assert texts(world, until=(START + 3) * SECOND) == [1, 2, 3]


def test_tail_of_a_log_longer_than_a_block(world: World) -> None:
    directory = log_of(world)
    (directory / "json.log").write_bytes(b"".join(line(number) for number in range(3000)))
    assert texts(world, tail=2500) == list(range(500, 3000))


def test_broken_lines_are_left_out(world: World) -> None:
    directory = log_of(world)
    (directory / "json.log").write_bytes(line(1) + b'{"log":"cut\n' + b"[]\n" + line(2) + b'{"log":')
    assert texts(world) == [1, 2]


def test_no_log_is_an_empty_log(world: World) -> None:
    world.add("1", "created")
    assert texts(world) == []
    assert texts(world, follow=True) == []


def test_follow_reads_across_rotations_until_the_end(world: World) -> None:
    """A writer of our own appends and rotates; each step waits until the reader has shown the one before."""
    directory = log_of(world, "running")
    (directory / "json.log").write_bytes(line(0))
    shown: list[int] = []
    caught_up = threading.Condition()

    def read() -> None:
        for record in logs.read(world.layout, "name1", follow=True):
            if record is not None:
                with caught_up:
                    shown.append(int(record.text.split()[1]))
                    caught_up.notify_all()

    def reached(count: int) -> bool:
        return len(shown) >= count

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for number in range(1, 10):
        with caught_up:
            assert caught_up.wait_for(partial(reached, number), timeout=20), shown
        if number % 3 == 0:
            for old, new in (("json.log.1", "json.log.2"), ("json.log", "json.log.1")):
                if (directory / old).exists():
                    (directory / old).rename(directory / new)
        with (directory / "json.log").open("ab") as file:
            content = line(number)
            file.write(content[:10])
            file.flush()
            file.write(content[10:])
    container = Path(directory).parent
    os.close(world.fds.pop())
    (container / "exit").write_bytes(b"1 0 0 2024-01-01T01:00:00.000000000Z\n".ljust(64, b"\0"))
    reader.join(timeout=20)
    assert not reader.is_alive()
    assert shown == list(range(10))


def test_streams_and_timestamps(
    world: World, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = log_of(world)
    (directory / "json.log").write_bytes(line(1) + line(2, "stderr"))
    monkeypatch.setattr(main.Session, "layout", world.layout)
    assert main.main(["logs", "-t", "name1"]) == 0
    captured = capsysbinary.readouterr()
    assert captured.out == b"2024-01-01T00:00:01.000000000Z line 1\n"
    assert captured.err == b"2024-01-01T00:00:02.000000000Z line 2\n"
    assert main.main(["logs", "-n1", "--since", "2024-01-01T00:00:00Z", "name1"]) == 0
    assert capsysbinary.readouterr() == (b"", b"line 2\n")
