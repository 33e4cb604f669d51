"""Output, input, terminal and log of a container, through its monitor."""

from __future__ import annotations

import json
import os
import re
import select
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.runtime import job, launch

if TYPE_CHECKING:
    from tests.support.bundle import Bundle


def test_output_and_exit_code(box: Bundle) -> None:
    result = box.sh("echo out; echo err >&2; exit 42")
    assert (result.code, result.out, result.err) == (42, "out\n", "err\n")


def test_a_signal_is_128_and_more(box: Bundle) -> None:
    running = box.start("sleep", "1000")
    running.kill(9)
    assert running.wait().code == 137


def test_the_log_is_dockers_json_file(box: Bundle) -> None:
    script = r"""printf 'plain\n'; printf 'quote " back \\ tab\t cr\r esc\033 del\177 <&>\n' >&2
printf 'caf\303\251 \360\237\220\263 bad\377 cut\303\n'; printf 'no end'"""
    assert box.sh(script).code == 0
    records = box.log()
    out = "".join(record["log"] for record in records if record["stream"] == "stdout")
    err = "".join(record["log"] for record in records if record["stream"] == "stderr")
    assert out == "plain\ncafé 🐳 bad� cut�\nno end"
    assert err == 'quote " back \\ tab\t cr\r esc\x1b del\x7f <&>\n'
    for record in records:
        assert list(record) == ["log", "stream", "time"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", record["time"])
    raw = Path(box.directory, "logs/json.log").read_text()
    assert r"\u003c\u0026\u003e" in raw, "Go escapes these in JSON; log readers compare bytes"


def test_long_lines_are_cut_at_16_kib(box: Bundle) -> None:
    box.sh("head -c 40000 /dev/zero | tr '\\0' x; echo; echo short")
    assert [len(record["log"]) for record in box.log()] == [16384, 16384, 40000 - 32768 + 1, 6]
    assert [record["log"][-1] for record in box.log()] == ["x", "x", "\n", "\n"]


def test_rotation_keeps_three_files_and_whole_records(box: Bundle) -> None:
    def small(orders: job.Job) -> None:
        orders.log_max_bytes = 20000

    box.job_changes = small
    # One write(2) of all: as on a busy machine, the monitor may read them at once.
    assert box.sh("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done >/tmp/all; cat /tmp/all").code == 0
    logs = Path(box.directory, "logs")
    assert sorted(os.listdir(logs)) == ["json.log", "json.log.1", "json.log.2", "lost"]
    numbers: list[int] = []
    for name in ("json.log.2", "json.log.1", "json.log"):
        lines = (logs / name).read_text().splitlines()
        numbers += [int(json.loads(line)["log"].split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 2000)), "records are in order, none is lost in between"
    # A file is closed by the record that reaches the limit, however much was read at once.
    for name in ("json.log.1", "json.log.2"):
        assert 20000 <= (logs / name).stat().st_size < 20000 + 100


def test_no_log_where_none_is_wanted(box: Bundle) -> None:
    box.flags = 0
    assert box.sh("echo x").out == "x\n"
    assert not os.path.exists(box.directory + "/logs")


def test_input_and_its_end(box: Bundle) -> None:
    box.flags |= job.STDIN
    running = box.start("sh", "-c", "cat; echo end")
    running.monitor.send("I", b"first ")
    running.monitor.send("I", b"second\n")
    running.until(b"second\n")
    running.monitor.send("C")
    assert running.wait().out == "first second\nend\n", "half a close: output still comes"


def test_much_input_arrives_whole(box: Bundle) -> None:
    box.flags |= job.STDIN
    running = box.start("sh", "-c", "sleep 0.2; md5sum; wc -c </dev/null")
    chunk = bytes(range(256)) * 128
    for _ in range(40):
        running.monitor.send("I", chunk)
    running.monitor.send("C")
    import hashlib

    assert running.wait().out.split()[0] == hashlib.md5(chunk * 40).hexdigest()


def test_input_that_nobody_reads_does_not_stop_the_monitor(box: Bundle) -> None:
    box.flags |= job.STDIN
    running = box.start("sh", "-c", "exec <&-; echo closed; sleep 1000")
    running.until(b"closed\n")
    for _ in range(64):
        running.monitor.send("I", bytes(32768))
    # It has read all of them, or it would not come to this client.
    second = launch.connect(box.socket)
    assert second.receive()[0] == "H"
    second.close()
    running.kill()
    assert running.wait().code == 137


def test_no_input_is_the_null_device(box: Bundle) -> None:
    assert box.sh("cat; readlink /proc/self/fd/0").out == "/dev/null\n"


def test_input_ends_with_the_first_client_where_so_ordered(box: Bundle) -> None:
    box.flags |= job.STDIN | job.STDIN_ONCE
    running = box.start("sh", "-c", "cat >/dev/null; echo over; sleep 1000")
    second = launch.connect(box.socket)
    running.monitor.close()
    frames = [second.receive() for _ in range(2)]
    assert frames == [("H", b"\x01"), ("O", b"over\n")]
    running.kill()
    assert second.receive() == ("X", (137).to_bytes(4, "little"))
    second.close()
    assert running.monitor.process is not None
    running.monitor.process.wait()


def test_a_terminal(box: Bundle) -> None:
    def window(orders: job.Job) -> None:
        orders.rows, orders.columns = 33, 101

    box.job_changes = window
    box.flags |= job.STDIN
    script = "tty; stty size; test -c /dev/console && echo console; read a; stty size; echo got $a; echo e >&2"
    running = box.start("sh", "-c", script, terminal=True)
    running.until(b"console")
    running.monitor.send("W", struct.pack("=HH", 44, 102))
    running.monitor.send("I", b"word\n")
    out = running.wait().out.replace("\r\n", "\n")
    assert out.startswith(("/dev/console\n33 101\nconsole\n", "/dev/pts/0\n33 101\nconsole\n")), out
    assert out.endswith("44 102\ngot word\ne\n")


def test_ctrl_c_reaches_the_program_on_a_terminal(box: Bundle) -> None:
    running = box.start(
        "sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done", terminal=True
    )
    running.until(b"ready")
    running.monitor.send("I", b"\x03")
    result = running.wait()
    assert (result.code, "caught" in result.out) == (5, True), result


def test_output_of_a_terminal_that_ends_at_once_is_not_lost(box: Bundle) -> None:
    for _ in range(10):
        box.fresh_records()
        assert box.run("echo", "short", terminal=True).out == "short\r\n"


def test_what_a_large_pipe_holds_at_the_end_is_not_lost(box: Bundle) -> None:
    # A megabyte written at once and nobody reading: the client's queue has to hold it.
    box.program("burst", "head -c 1500000 /dev/zero | tr '\\0' x\n")
    running = box.start("burst")
    assert len(running.wait().out) == 1500000


def test_a_slow_client_loses_nothing(box: Bundle) -> None:
    running = box.start(
        "sh", "-c", "until [ -p /tmp/go ]; do sleep 0.02; done; read x < /tmp/go; seq 1 200000; seq 1 200000 >&2"
    )
    slow = launch.connect(box.socket)
    fast_done = threading.Event()

    def read_fast() -> None:
        while running.take():
            pass
        fast_done.set()

    reader = threading.Thread(target=read_fast)
    # The image's script waits for a fifo, so that both are attached from the first byte.
    assert box.exec(running, "mkfifo", "/tmp/go").code == 0
    reader.start()
    assert box.exec(running, "sh", "-c", "echo > /tmp/go").code == 0
    # It reads nothing until the fast one has been held back: more was written than sockets and queues hold.
    assert not fast_done.wait(0.3)
    out = err = b""
    while (frame := slow.receive())[0]:
        out += frame[1] if frame[0] == "O" else b""
        err += frame[1] if frame[0] == "E" else b""
    slow.close()
    reader.join()
    assert running.wait().code == 0
    wanted = b"".join(b"%d\n" % number for number in range(1, 200001))
    assert running.out == out == wanted
    assert running.err == err == wanted


def test_a_stuck_client_is_let_go_and_costs_the_others_nothing(box: Bundle) -> None:
    """It holds the container back for ten seconds, no longer; one that reads, however slowly, is waited for."""
    box.flags |= job.STDIN
    running = box.start("sh", "-c", "read go; seq 1 300000; exit 6")
    stuck = launch.connect(box.socket)
    assert stuck.receive()[0] == "H"
    running.monitor.send("I", b"go\n")
    result = running.wait()
    assert result.code == 6
    assert result.out.split() == [str(number) for number in range(1, 300001)]
    frames = []
    while (frame := stuck.receive())[0]:
        frames.append(frame)
    stuck.close()
    got = b"".join(content for _, content in frames)
    assert {kind for kind, _ in frames} == {"O"}, "no exit code: it has not seen the end"
    assert result.out.encode().startswith(got)
    assert 0 < len(got) < len(result.out)


@pytest.mark.full
def test_who_started_it_and_is_alone_may_stop_it_as_long_as_he_likes(box: Bundle) -> None:
    """`pyrun run … | less`."""
    running = box.start("sh", "-c", "seq 1 300000; exit 6")
    idle = select.poll()
    assert not idle.poll(13000)
    assert len(running.wait().out.split()) == 300000


def test_clients_that_have_gone_make_room_while_nobody_reads_the_input(box: Bundle) -> None:
    box.flags |= job.STDIN
    running = box.start("sleep", "1000")
    running.monitor.send("I", bytes(32000))
    running.monitor.send("I", bytes(32000))
    running.monitor.send("I", bytes(32000))
    for _ in range(40):
        client = launch.connect(box.socket)
        assert client.receive() == ("H", b"\x01")
        client.send("I", b"more")
        client.close()
    running.kill()
    assert running.wait().code == 137


def test_a_client_that_goes_is_not_waited_for(box: Bundle) -> None:
    running = box.start("sh", "-c", "seq 1 300000; sleep 1000")
    running.take()
    second = launch.connect(box.socket)
    running.monitor.close()
    out = b""
    while b"\n300000\n" not in out:
        out += second.receive()[1]
    running.kill()
    while second.receive()[0]:
        pass
    second.close()
    assert running.monitor.process is not None
    running.monitor.process.wait()


def test_attach_tells_its_version_first(box: Bundle) -> None:
    running = box.start("sleep", "1000")
    clients = [launch.connect(box.socket) for _ in range(3)]
    assert [client.receive() for client in clients] == [("H", bytes([launch.ATTACH_VERSION]))] * 3
    running.kill()
    assert [client.receive() for client in clients] == [("X", b"\x89\0\0\0")] * 3
    for client in clients:
        client.close()
    running.wait()
    with pytest.raises(OSError, match="No such file"):
        launch.connect(box.socket)
