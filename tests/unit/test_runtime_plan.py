"""Plans and jobs as bytes: what Python writes is what the native code reads, and what people are shown."""

from __future__ import annotations

import struct

import pytest
from pyrun._native import ffi, lib

from pyrun.errors import InvalidConfigError
from pyrun.runtime import compile as compiler
from pyrun.runtime import job, plan
from pyrun.runtime.health_check import Check
from tests.support.features import ROOT


def steps_of(encoded: bytes) -> list[tuple[int, ...]]:
    count = struct.unpack_from("=IIII", encoded)[2]
    return [struct.unpack_from("=HHIQQIIII", encoded, 16 + 40 * index) for index in range(count)]


def test_numbers_are_those_of_the_native_code() -> None:
    names = [ffi.string(lib.plan_op_name(number)).decode() for number in range(1, len(plan.OPS) + 1)]
    assert names == list(plan.OPS)
    assert lib.plan_op_name(0) == ffi.NULL
    assert lib.plan_op_name(len(plan.OPS) + 1) == ffi.NULL, "the native code has an operation that Python does not name"


def test_every_name_is_the_constant_of_its_number() -> None:
    for number, name in enumerate(plan.OPS, 1):
        assert getattr(plan, "OP_" + name.upper()) == number


def test_layout_of_a_plan() -> None:
    made = plan.Plan()
    made.add(plan.OP_BIND, "/src", "/dst", a=3, b=1, count=7, flags=plan.OR_ELSE)
    made.add(plan.OP_SECCOMP, bytes(range(16)), count=2)
    made.add(plan.OP_OVERLAY, "/m", ["a", "b"], None, None, count=2)
    encoded = made.encode()
    magic, version, count, data_size = struct.unpack_from("=IIII", encoded)
    assert (magic, version, count) == (plan.MAGIC, plan.VERSION, 3)
    assert len(encoded) == 16 + 3 * 40 + data_size
    data = encoded[16 + 3 * 40 :]
    bind, seccomp, overlay = steps_of(encoded)
    assert bind == (plan.OP_BIND, plan.OR_ELSE, 7, 3, 1, 0, 5, plan.NONE, plan.NONE)
    assert data[:10] == b"/src\0/dst\0"
    assert data[seccomp[5] : seccomp[5] + 16] == bytes(range(16))
    assert data[overlay[6] : overlay[6] + 4] == b"a\0b\0"
    assert overlay[7:] == (plan.NONE, plan.NONE)
    assert data.endswith(b"\0")


def test_layout_of_a_job_is_the_headers_of_job_h() -> None:
    orders = job.Job("id", "/dir")
    orders.flags = job.TTY | job.NETWORK_READY_FD
    orders.clone_flags = 0x1122334455667788
    orders.network_argv, orders.remove = ["/bin/pasta", "-x"], ["/one"]
    orders.rows, orders.columns = 24, 80
    orders.events, orders.events_removed = "/record", ["{one", "{two"]
    orders.network_api, orders.network_requests, orders.network_patience_ms = "/api", ["{1", "{2"], 99
    orders.shared = [f"{0x20000000} /other"]
    orders.health = b"HEALTH"
    encoded = orders.encode(b"PLAN")
    assert encoded[:8] == struct.pack("=II", job.MAGIC, job.VERSION)
    flags, argc, removes, files, clone_flags, log_bytes = struct.unpack_from("=IIIIQQ", encoded, 8)
    assert (flags, argc, removes, files, clone_flags, log_bytes) == (1 | 128, 2, 1, 3, 0x1122334455667788, 10_000_000)
    offsets = struct.unpack_from("=9I", encoded, 40)
    data_offset, data_size, plan_offset, plan_size, rows, columns = struct.unpack_from("=IIIIHH", encoded, 76)
    assert (data_offset, rows, columns) == (184, 24, 80)
    assert plan_offset % 8 == 0, "struct plan_step holds 64-bit numbers"
    assert encoded[plan_offset : plan_offset + plan_size] == b"PLAN"
    data = encoded[data_offset : data_offset + data_size]
    assert data.endswith(b"\0")
    assert data[offsets[0] :].split(b"\0")[0] == b"id"
    assert data[offsets[1] :].split(b"\0")[0] == b"/dir"
    assert data[offsets[7] :].split(b"\0")[:2] == [b"/bin/pasta", b"-x"]
    assert set(offsets[2:7]) == {plan.NONE}
    events, event, *lists, shared, shared_count = struct.unpack_from("=10I", encoded, 104)
    assert (data[shared:].split(b"\0")[0], shared_count) == (b"536870912 /other", 1)
    assert data[events:].startswith(b"/record\0")
    assert data[lists[4] :].startswith(b"{one\0{two\0")
    assert [event, *lists[:4], lists[5]] == [plan.NONE, plan.NONE, 0, plan.NONE, 0, 2]
    api, requests, request_count, patience = struct.unpack_from("=4I", encoded, 144)
    assert data[api:].startswith(b"/api\0")
    assert data[requests:].startswith(b"{1\0{2\0")
    assert (request_count, patience) == (2, 99)
    health_offset, health_size = struct.unpack_from("=2I", encoded, 176)
    assert health_offset % 8 == 0
    assert encoded[health_offset:] == b"HEALTH"
    assert health_size == 6


def test_layout_of_a_health_check_is_that_of_job_h() -> None:
    made = plan.Plan()
    made.add(plan.OP_CHDIR, "/")
    encoded = Check(1, 2_000_000, 2_000_001, 5_000_000_000, 3, "Late").encode(0x20020000, made)
    steps = made.encode()
    expected = struct.pack("=5QII64s", 0x20020000, 1, 2, 3, 5000, 3, len(steps), b"Late")
    assert encoded == expected + steps, "milliseconds, never 0 but for the start period, which is not cut short"


def test_a_plan_in_words() -> None:
    made = plan.Plan()
    made.add(plan.OP_FSMOUNT, "proc", "/proc", [], flags=plan.OR_ELSE)
    made.add(plan.OP_BIND, "/proc", "/proc", b=1)
    made.add(plan.OP_MASK, "/proc/kcore", flags=plan.IGNORE_MISSING)
    made.add(plan.OP_OVERLAY, "/m", ["l1", "l2", "l3", "l4"], "/u", "/w")
    lines = made.describe_all().splitlines()
    assert lines[0] == "  0 fsmount        mount proc on /proc (else the next)"
    assert lines[1] == "  1 bind           bind /proc on /proc  [b=0x1]"
    assert lines[2] == "  2 mask           mask /proc/kcore (if it is there)"
    assert lines[3].endswith("mount the overlay of l1 and 3 more on /m  [/u /w]")


def test_every_operation_has_words() -> None:
    for number in range(1, len(plan.OPS) + 1):
        made = plan.Plan()
        made.add(number, "x", "y")
        text = made.describe(0)
        assert text
        assert "{" not in text


def test_a_name_that_is_no_utf8_survives() -> None:
    made = plan.Plan()
    made.add(plan.OP_MKDIR, "/\udcff")
    assert b"/\xff\0" in made.encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b[:-1],
        lambda b: b + b"\0",
        lambda b: b"X" + b[1:],
        lambda b: b[:4] + b"\x09" + b[5:],
        lambda b: b[:-1] + b"x",
        lambda b: b[:16] + struct.pack("=H", 99) + b[18:],
        lambda b: b[:16 + 24] + struct.pack("=I", 10_000) + b[16 + 28 :],
        lambda b: b[:16 + 24] + struct.pack("=I", plan.NONE) + b[16 + 28 :],
    ],
    ids=["short", "long", "magic", "version", "unterminated", "operation", "offset", "no-string"],
)  # fmt: skip
def test_a_spoilt_plan_is_refused_before_anything_is_done(spoil: object) -> None:
    made = plan.Plan()
    made.add(plan.OP_MKDIR, "/x")
    failure = ffi.new("struct plan_failure *")
    encoded = spoil(made.encode())  # type: ignore[operator]
    assert lib.pyrun_run_plan(encoded, len(encoded), 0, failure) == -1
    assert ffi.string(failure.syscall) == b"plan"


@pytest.mark.parametrize(("op", "strings", "count", "a"), [
    (plan.OP_EXEC, (["true"], [""]), 9, 0),
    (plan.OP_EXEC, (["true"], ["A=1"]), 1, 5),
    (plan.OP_EXEC, (["true"], [""]), 0, 0),
    (plan.OP_SECCOMP, (b"12345678",), 2, 0),
    (plan.OP_IDS, (["1"],), 9, 0),
    (plan.OP_FSMOUNT, ("tmpfs", "/x", ["a=b"]), 9, 0),
])  # fmt: skip
def test_lists_longer_than_the_data_are_refused(op: int, strings: tuple[object, ...], count: int, a: int) -> None:
    made = plan.Plan()
    made.add(op, *strings, count=count, a=a)  # type: ignore[arg-type]
    failure = ffi.new("struct plan_failure *")
    encoded = made.encode()
    assert lib.pyrun_run_plan(encoded, len(encoded), 0, failure) == -1
    assert ffi.string(failure.syscall) == b"plan"


def test_a_plan_is_replayed_and_names_what_failed() -> None:
    made = plan.Plan()
    made.add(plan.OP_UMASK, a=0o22)
    made.add(plan.OP_CHDIR, "/nowhere")
    failure = ffi.new("struct plan_failure *")
    encoded = made.encode()
    assert lib.pyrun_run_plan(encoded, len(encoded), 0, failure) == -1
    assert (failure.step, failure.op, failure.error) == (1, plan.OP_CHDIR, 2)
    assert ffi.string(failure.syscall) == b"chdir"


def test_a_step_that_may_fail_leads_to_the_next_and_one_that_works_skips_it() -> None:
    failure = ffi.new("struct plan_failure *")
    for first, then, expected in (("/nowhere", "/tmp", 0), ("/tmp", "/nowhere", 0), ("/nowhere", "/nowhere", -1)):
        made = plan.Plan()
        made.add(plan.OP_CHDIR, first, flags=plan.OR_ELSE)
        made.add(plan.OP_CHDIR, then)
        encoded = made.encode()
        assert lib.pyrun_run_plan(encoded, len(encoded), 0, failure) == expected


def test_an_unknown_limit_is_an_error_with_its_place() -> None:
    process = {
        "user": {"uid": 0, "gid": 0}, "args": ["x"], "env": [], "cwd": "/", "rlimits": [{"type": "RLIMIT_X"}],
    }  # fmt: skip
    with pytest.raises(InvalidConfigError, match="RLIMIT_X"):
        compiler.compile_exec(process, [])


def test_the_header_documents_every_job_flag() -> None:
    text = (ROOT / "native/monitor/job.h").read_text()
    for name in (
        "TTY",
        "STDIN",
        "STDIN_ONCE",
        "EPHEMERAL",
        "INIT",
        "LOG",
        "NETWORK",
        "NETWORK_READY_FD",
        "PASSTHROUGH",
    ):
        assert f"JOB_{name} = {getattr(job, name)}," in text
