"""Reading the monitor's log files: forms, tail, times, rotation, following to the end."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.cli import main
from pyrun.engine import log_files, logs
from pyrun.engine.logs import LogOptions
from pyrun.errors import InvalidInputError
from tests.unit.test_engine_ps import World

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 10**9
START = 1704067200  # 2024-01-01T00:00:00Z
STREAMS = ("", "stdout", "stderr")


def stamp(number: int) -> str:
    return f"2024-01-01T00:{number // 60:02}:{number % 60:02}.000000000Z"


def json_file(number: int, text: str, stream: int = 1) -> bytes:
    record = {"log": text, "stream": STREAMS[stream], "time": stamp(number)}
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return text.replace("\u2028", "\\u2028").encode() + b"\n"


def k8s_file(number: int, text: str, stream: int = 1) -> bytes:
    whole = text.removesuffix("\n")
    return f"{stamp(number)} {STREAMS[stream]} {'P' if whole == text else 'F'} {whole}\n".encode()


def local(number: int, text: str, stream: int = 1) -> bytes:
    whole = text.removesuffix("\n")
    letter = "OE"[stream - 1] if whole != text else "oe"[stream - 1]
    return f"{letter}{(START + number) * SECOND:016x} {whole}\n".encode()


WRITERS = {"json-file": json_file, "k8s-file": k8s_file, "local": local}


def line(number: int, stream: int = 1) -> bytes:
    return json_file(number, f"line {number}\n", stream)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)


def log_of(world: World, status: str = "exited", **settings: Any) -> Path:
    container = Path(world.layout.container(world.add("1", status)))
    record = json.loads((container / "container.json").read_text())
    record["log"] = {**log_files.DEFAULT, **settings}
    (container / "container.json").write_text(json.dumps(record))
    (container / "logs").mkdir()
    return container / "logs"


def runs(world: World, **more: Any) -> list[tuple[int, bytes]]:
    return [run for run in logs.read(world.layout, "name1", LogOptions(**more)) if run is not None]


def texts(world: World, **more: Any) -> list[int]:
    text = b"".join(text for stream, text in runs(world, **more) if stream != logs.NOTICE)
    return [int(word.split()[1]) for word in text.splitlines()]


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
    assert texts(world, since=-(10**20), until=10**20) == [1, 2, 3, 4, 5]
    assert texts(world, since=(START + 3) * SECOND, until=(START + 4) * SECOND - 1) == [3]


@pytest.mark.parametrize("driver", WRITERS)
def test_every_form(world: World, driver: str) -> None:
    write, name = WRITERS[driver], log_files.DRIVERS[driver][1]
    directory = log_of(world, driver=driver)
    content = [
        write(0, "plain\n"), write(1, 'quote " back \\ tab\t esc\x1b <&> é 🐳 \u2028\n', 2), write(2, "\n"),
        write(3, "half a "), write(4, "other\n", 2), write(5, "back\\\n"), write(5, "line\\n\n"), write(6, "no end"),
    ]  # fmt: skip
    (directory / name).write_bytes(b"".join(content))
    assert runs(world) == [
        (1, b"plain\n"), (2, 'quote " back \\ tab\t esc\x1b <&> é 🐳 \u2028\n'.encode()), (1, b"\nhalf a "),
        (2, b"other\n"), (1, b"back\\\nline\\n\nno end"),
    ]  # fmt: skip
    # Time and details stand before a line, not before each part of it; docker's space stands before no details too.
    shown = runs(world, timestamps=True, details=True, since=(START + 2) * SECOND)
    assert b"".join(text for stream, text in shown if stream == 1).decode() == (
        f"{stamp(2)}  \n{stamp(3)}  half a back\\\n{stamp(5)}  line\\n\n{stamp(6)}  no end"
    )
    # What is counted are lines: an unfinished one at the end is one, a part is none.
    for tail, wanted in {0: b"", 1: b"no end", 2: b"line\\n\nno end", 3: b"back\\\nline\\n\nno end"}.items():
        assert b"".join(text for stream, text in runs(world, tail=tail) if stream == 1) == wanted, tail


@pytest.mark.parametrize("driver", WRITERS)
def test_tail_of_a_log_longer_than_a_block(world: World, driver: str) -> None:
    directory = log_of(world, driver=driver)
    content = b"".join(WRITERS[driver](number % 60, f"line {number}\n") for number in range(20000))
    (directory / log_files.DRIVERS[driver][1]).write_bytes(content)
    for tail in (1, 100, 12345, 20000, 30000):
        assert texts(world, tail=tail) == list(range(max(0, 20000 - tail), 20000))


def test_more_changes_of_stream_than_fit_at_once(world: World) -> None:
    directory = log_of(world)
    (directory / "json.log").write_bytes(b"".join(line(number % 60, 1 + number % 2) for number in range(5000)))
    assert [stream for stream, _ in runs(world)] == [1, 2] * 2500


def test_broken_lines_are_left_out(world: World) -> None:
    directory = log_of(world)
    broken = [
        b'{"log":"cut\n', b"[]\n", b"\n", b"{}\n", bytes(600_000) + b"\n", b'{"log":"x\\"}\n',
        b'{"log":"x\\n","stream":"stdout","time":"soon"}\n', b'{"log":"x\\n","stream":"other","time":"soon"}\n',
    ]  # fmt: skip
    (directory / "json.log").write_bytes(line(1) + b"".join(broken) + line(2) + b'{"log":')
    assert texts(world) == [1, 2]
    assert texts(world, tail=1) == [2]
    assert texts(world, tail=2) == [1, 2]
    assert texts(world, since=(START + 2) * SECOND) == [2]


def test_a_clock_that_jumps(world: World) -> None:
    """Each record is asked for its own time: what comes after a jump is neither lost nor taken for the end."""
    directory = log_of(world)
    (directory / "json.log").write_bytes(line(10) + line(2) + line(500) + line(3) + line(11))
    for follow in (False, True):
        assert texts(world, since=(START + 10) * SECOND, follow=follow) == [10, 500, 11]
        assert texts(world, until=(START + 10) * SECOND, follow=follow) == [10, 2, 3]


def test_until_ends_what_is_followed(world: World) -> None:
    directory = log_of(world, "running")
    (directory / "json.log").write_bytes(line(1))
    assert texts(world, follow=True, until=time.time_ns()) == [1]


def test_no_log_is_an_empty_log(world: World) -> None:
    world.add("1", "created")
    assert texts(world) == []
    assert texts(world, follow=True) == []


@pytest.mark.parametrize("driver", ["none", "passthrough"])
def test_drivers_that_keep_no_log(world: World, driver: str) -> None:
    log_of(world, driver=driver)
    with pytest.raises(InvalidInputError, match="configured logging driver does not support reading"):
        runs(world)


def test_what_was_lost_is_told(world: World) -> None:
    directory = log_of(world)
    (directory / "json.log").write_bytes(line(1))
    (directory / "lost").write_bytes(bytes(128))
    assert runs(world) == [(1, b"line 1\n")]
    (directory / "lost").write_bytes(b"1 17 28 then now\n".ljust(128, b"\0"))
    notice = b"17 lines of output were not logged from then to now: no space left on device"
    for follow in (False, True):
        assert runs(world, follow=follow) == [(1, b"line 1\n"), (logs.NOTICE, notice)]


def rotate(directory: Path) -> None:
    for old, new in (("json.log.1", "json.log.2"), ("json.log", "json.log.1")):
        if (directory / old).exists():
            (directory / old).rename(directory / new)


class Following(threading.Thread):
    """Follows in a thread; `reached` waits until so many lines were shown."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.shown: list[int] = []
        self.caught_up = threading.Condition()
        self.start()

    def run(self) -> None:
        for run in logs.read(self.world.layout, "name1", LogOptions(follow=True)):
            if run is not None:
                with self.caught_up:
                    self.shown += [int(word.split()[1]) for word in run[1].splitlines()]
                    self.caught_up.notify_all()

    def reached(self, count: int) -> None:
        with self.caught_up:
            assert self.caught_up.wait_for(partial(lambda: len(self.shown) >= count), timeout=60), self.shown


def end(world: World, directory: Path) -> None:
    os.close(world.fds.pop())
    (directory.parent / "exit").write_bytes(b"1 0 0 2024-01-01T01:00:00.000000000Z\n".ljust(64, b"\0"))


def test_follow_reads_across_rotations_until_the_end(world: World) -> None:
    """A writer of our own appends and rotates; each step waits until the reader has shown the one before."""
    directory = log_of(world, "running")
    (directory / "json.log").write_bytes(line(0))
    following = Following(world)
    for number in range(1, 10):
        following.reached(number)
        if number % 3 == 0:
            rotate(directory)
        with (directory / "json.log").open("ab") as file:
            content = line(number)
            file.write(content[:10])
            file.flush()
            file.write(content[10:])
    end(world, directory)
    following.join(timeout=60)
    assert not following.is_alive()
    assert following.shown == list(range(10))


def test_follow_where_the_user_has_no_inotify_instance_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("pyrun.engine.log_watch.Inotify", refuse)
    directory = log_of(world, "running")
    (directory / "json.log").write_bytes(line(0))
    following = Following(world)
    following.reached(1)
    rotate(directory)
    (directory / "json.log").write_bytes(line(1))
    following.reached(2)
    end(world, directory)
    following.join(timeout=60)
    assert following.shown == [0, 1]


def test_who_falls_behind_is_told_and_holds_no_more_files_than_there_are(world: World) -> None:
    """The reader takes nothing while the log is rotated away under it: what it gets is in order and once."""
    directory = log_of(world, "running")
    (directory / "json.log").write_bytes(line(0))
    reading = logs.read(world.layout, "name1", LogOptions(follow=True))
    assert next(reading) == (1, b"line 0\n")
    for number in range(1, 6):
        rotate(directory)
        (directory / "json.log").write_bytes(line(number))
    end(world, directory)
    rest = [run for run in reading if run is not None]
    assert rest[0][0] == logs.NOTICE
    assert b"lines are missing here" in rest[0][1]
    assert [text for _, text in rest[1:]] == [b"line 3\n", b"line 4\n", b"line 5\n"]


def test_streams_and_timestamps(
    world: World, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = log_of(world)
    (directory / "json.log").write_bytes(line(1) + line(2, 2))
    monkeypatch.setattr(main.Session, "layout", world.layout)
    assert main.main(["logs", "-t", "name1"]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == b"2024-01-01T00:00:01.000000000Z line 1\n"
    assert captured.err == b"2024-01-01T00:00:02.000000000Z line 2\n"
    assert main.main(["logs", "-n1", "--since", "2024-01-01T00:00:00Z", "name1"]) == 0
    assert capfdbinary.readouterr() == (b"", b"line 2\n")
