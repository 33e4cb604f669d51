"""What the monitor writes: the form of each driver's records, rotation, and what a stuck disk must not hold back."""

from __future__ import annotations

import json
import os
import re
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.runtime import job

if TYPE_CHECKING:
    from tests.support.bundle import Bundle, Running

JSON_FILE, K8S_FILE, LOCAL = range(3)
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
SCRIPT = r"""printf 'plain\n'; printf 'quote " back \\ tab\t <&>\n' >&2
head -c 20000 /dev/zero | tr '\0' x; echo; printf end"""


def orders(box: Bundle, driver: int, name: str, **changes: object) -> None:
    def change(orders: object) -> None:
        for key, value in {"driver": driver, "path": name, **changes}.items():
            setattr(orders, f"log_{key}", value)

    box.job_changes = change


def lines_of(box: Bundle, name: str) -> list[str]:
    return Path(box.directory, "logs", name).read_text().splitlines()


def test_json_file_with_attributes(box: Bundle) -> None:
    orders(box, JSON_FILE, "json.log", attributes='{"a":"b"}')
    assert box.sh(SCRIPT).code == 0
    records = [json.loads(line) for line in lines_of(box, "json.log")]
    assert all(list(record) == ["log", "stream", "attrs", "time"] for record in records)
    assert all(record["attrs"] == {"a": "b"} for record in records)
    assert "tab\\u0009 \\u003c\\u0026\\u003e" in "".join(lines_of(box, "json.log")), "docker's bytes"


def test_k8s_file_is_cris_form(box: Bundle) -> None:
    orders(box, K8S_FILE, "ctr.log")
    assert box.sh(SCRIPT).code == 0
    stdout: list[tuple[str, ...]] = []
    stderr: list[tuple[str, ...]] = []
    for line in lines_of(box, "ctr.log"):
        found = re.fullmatch(f"{TIME} (stdout|stderr) ([FP]) (.*)", line)
        assert found, line
        (stdout if found[1] == "stdout" else stderr).append(found.groups()[1:])
    assert stdout == [("F", "plain"), ("P", "x" * 16384), ("F", "x" * 3616), ("P", "end")]
    assert stderr == [("F", 'quote " back \\ tab\t <&>')]


def test_local_is_shorter(box: Bundle) -> None:
    orders(box, LOCAL, "local.log")
    assert box.sh(SCRIPT).code == 0
    records = [re.fullmatch("([OEoe])([0-9a-f]{16}) (.*)", line) for line in lines_of(box, "local.log")]
    assert all(records)
    found = [(record[1], record[3]) for record in records if record]
    assert [pair for pair in found if pair[0] in "Oo"] == [
        ("O", "plain"), ("o", "x" * 16384), ("O", "x" * 3616), ("o", "end"),
    ]  # fmt: skip
    assert [pair for pair in found if pair[0] in "Ee"] == [("E", 'quote " back \\ tab\t <&>')]


def test_every_byte_passes_where_the_form_lets_it(box: Bundle) -> None:
    for driver, name in ((K8S_FILE, "ctr.log"), (LOCAL, "local.log")):
        box.fresh_records()
        orders(box, driver, name)
        assert box.sh(r"printf '\000\377\200a\033\303\n'").code == 0
        assert Path(box.directory, "logs", name).read_bytes().endswith(b" \0\xff\x80a\x1b\xc3\n")


def test_a_part_does_not_end_within_a_character(box: Bundle) -> None:
    # 16384 is no multiple of three: cut there, both halves would be broken in JSON.
    assert box.sh("i=0; while [ $i -lt 6000 ]; do printf '€'; i=$((i+1)); done; echo").code == 0
    texts = [record["log"] for record in box.log()]
    assert [len(text) for text in texts] == [5461, 540]
    assert "".join(texts) == "€" * 6000 + "\n"


@pytest.mark.parametrize("files", [1, 2, 4])
@pytest.mark.parametrize(("driver", "name"), [(JSON_FILE, "json.log"), (LOCAL, "x.log")])
def test_rotation(box: Bundle, driver: int, name: str, files: int) -> None:
    orders(box, driver, name, max_bytes=5000, max_files=files)
    assert box.sh("seq 1 3000").code == 0
    names = [name, *(f"{name}.{number}" for number in range(1, files))]
    assert sorted(os.listdir(f"{box.directory}/logs")) == sorted([*names, "lost"])
    text = "".join(Path(box.directory, "logs", part).read_text() for part in reversed(names))
    numbers = [int(word) for word in re.findall(r'(?:"log":"|^O[0-9a-f]{16} )(\d+)', text, re.MULTILINE)]
    assert numbers == list(range(numbers[0], 3001))
    assert all(5000 <= Path(box.directory, "logs", part).stat().st_size < 5100 for part in names[1:])


def test_a_log_elsewhere(box: Bundle) -> None:
    where = Path(box.base, "elsewhere")
    where.mkdir()
    orders(box, K8S_FILE, f"{where}/my.log", max_bytes=1000, max_files=2)
    assert box.sh("seq 1 100").code == 0
    assert sorted(path.name for path in where.iterdir()) == ["my.log", "my.log.1"]
    assert os.listdir(f"{box.directory}/logs") == ["lost"]


def test_a_log_that_cannot_be_opened(box: Bundle) -> None:
    orders(box, K8S_FILE, "/nowhere/my.log")
    with pytest.raises(Exception, match=r"log"):
        box.start("true")


def child_of(monitor: int, name: str) -> int:
    for pid in Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split():
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return int(pid)
    raise AssertionError(f"the monitor has no child {name}")


def lost_records(box: Bundle) -> list[int]:
    slots = Path(box.directory, "logs/lost").read_bytes()
    return [int(slot.split(b" ")[1]) if slot[0] else 0 for slot in (slots[:128], slots[128:])]


def start_ring(box: Bundle, script: str) -> tuple[Running, int]:
    orders(box, JSON_FILE, "json.log", ring_bytes=65536)
    box.flags |= job.STDIN
    running = box.start("sh", "-c", script)
    return running, child_of(running.monitor_pid, "pyrun-log")


def test_non_blocking_goes_on_while_the_writer_is_stuck(box: Bundle) -> None:
    running, writer = start_ring(box, "read go; seq 1 100000; echo all; sleep 1000")
    os.kill(writer, signal.SIGSTOP)
    while Path(f"/proc/{writer}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        continue  # it takes effect at its next interrupt; until then it makes room in the pipe
    try:
        running.monitor.send("I", b"go\n")
        running.until(b"all\n")
    finally:
        os.kill(writer, signal.SIGCONT)
    running.kill()
    assert running.wait().code == 137
    numbers = [int(record["log"]) for record in box.log() if record["log"] != "all\n"]
    assert numbers == list(range(1, len(numbers) + 1)), "the newest are dropped, as docker does"
    dropped, unwritten = lost_records(box)
    assert (len(box.log()) + dropped, unwritten) == (100001, 0)
    assert dropped > 90000


def test_non_blocking_loses_nothing_in_peace_and_holds_no_lock(box: Bundle) -> None:
    running, writer = start_ring(box, "read go; seq 1 300; exit 3")
    open_files = {os.readlink(f"/proc/{writer}/fd/{fd}") for fd in os.listdir(f"/proc/{writer}/fd")}
    assert not [path for path in open_files if path.endswith("/lock") or path.startswith("socket:")]
    running.monitor.send("I", b"go\n")
    assert running.wait().code == 3
    assert [int(record["log"]) for record in box.log()] == list(range(1, 301))
    assert lost_records(box) == [0, 0]


def test_a_writer_that_is_killed_is_counted_and_does_not_stop_the_container(box: Bundle) -> None:
    running, writer = start_ring(box, "read go; seq 1 100; exit 4")
    pidfd = os.pidfd_open(writer)
    os.kill(writer, signal.SIGKILL)
    select.select([pidfd], [], [])  # until it is dead it may still write some
    os.close(pidfd)
    running.monitor.send("I", b"go\n")
    result = running.wait()
    assert (result.code, len(result.out.split())) == (4, 100)
    assert lost_records(box) == [100, 0]
