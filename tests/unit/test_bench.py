"""scripts/bench: it takes turns, counts nothing but the command, and says what failed instead of leaving it out."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that gives a module of scripts/benchlib."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return lambda name: importlib.import_module(f"benchlib.{name}")


def note(path: Path, word: str) -> list[str]:
    return ["sh", "-c", f"echo {word} >> {path}"]


def test_commands_take_turns_after_one_round_that_does_not_count(bench: Any, tmp_path: Path) -> None:
    timing = bench("timing")
    order = tmp_path / "order"
    commands = {name: timing.Command(note(order, name), dict(os.environ)) for name in ("a", "b")}
    times, failures = timing.interleave(commands, 2, tmp_path / "log", sync=False)
    assert order.read_text().split() == ["a", "b"] * 3
    assert {name: len(found) for name, found in times.items()} == {"a": 2, "b": 2}
    assert failures == {}


def test_a_command_that_fails_is_named_and_the_others_go_on(bench: Any, tmp_path: Path) -> None:
    timing = bench("timing")
    commands = {
        "bad": timing.Command(["sh", "-c", "echo why >&2; exit 3"], dict(os.environ)),
        "gone": timing.Command(["/does/not/exist"], dict(os.environ)),
        "good": timing.Command(["true"], dict(os.environ)),
    }
    times, failures = timing.interleave(commands, 1, tmp_path / "log", sync=False)
    assert list(times) == ["good"]
    assert failures["bad"].endswith("exit 3: why")
    assert "/does/not/exist" in failures["gone"]


def test_prepare_and_clean_surround_each_sample_and_are_not_counted(bench: Any, tmp_path: Path) -> None:
    timing = bench("timing")
    order: list[str] = []

    def prepare() -> None:
        order.append("prepare")
        time.sleep(0.3)

    command = timing.Command(["true"], dict(os.environ), prepare=prepare, clean=lambda: order.append("clean"))
    assert command.sample(tmp_path / "log", sync=False) < 0.3
    assert order == ["prepare", "clean"]


def test_clean_runs_after_a_failure_too(bench: Any, tmp_path: Path) -> None:
    timing = bench("timing")
    order: list[str] = []
    command = timing.Command(["false"], dict(os.environ), clean=lambda: order.append("clean"))
    with pytest.raises(timing.CommandFailedError):
        command.sample(tmp_path / "log", sync=False)
    assert order == ["clean"]


def test_summary_is_in_milliseconds(bench: Any) -> None:
    found = bench("timing").summary([0.001, 0.002, 0.009])
    assert (found["median_ms"], found["min_ms"], found["samples"]) == (2.0, 1.0, 3)


@pytest.mark.parametrize(("own", "reached"), [(19.0, True), (21.0, False)])
def test_goal_is_a_factor_of_a_competitor(bench: Any, own: float, reached: bool) -> None:
    row = bench("rows").Row("x", "x")
    row.results = {"pyrun": {"median_ms": own}, "podman": {"median_ms": 100.0}}
    row.goals = [("podman", 1 / 5), ("absent", 2.0)]
    assert [good for _, good in row.finish().checks] == [reached]


def test_podman_uses_a_store_of_its_own(bench: Any, tmp_path: Path) -> None:
    podman = bench("tools").Podman("/usr/bin/podman", tmp_path / "p", tmp_path / "log")
    argv = podman.argv("ps")
    assert argv[argv.index("--root") + 1] == f"{tmp_path}/p/graph"
    assert argv[argv.index("--runroot") + 1] == f"{tmp_path}/p/run"
    assert argv[-1] == "ps"


def test_pyrun_uses_a_store_of_its_own(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRUN_DEBUG", "plan")
    pyrun = bench("tools").Pyrun("/x/pyrun", tmp_path / "p", tmp_path / "log")
    own = {name: value for name, value in pyrun.environment.items() if name.startswith("PYRUN_")}
    assert own == {"PYRUN_ROOT": f"{tmp_path}/p"}


def test_command_line_knows_its_rows(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command, rows = bench("command"), bench("rows")
    assert command.parse([]).rows == list(rows.ROWS)
    assert set(rows.ROWS) == set(rows.SAMPLES)
    assert command.parse(["--rows", "ps,exec"]).rows == ["ps", "exec"]
    with pytest.raises(SystemExit):
        command.parse(["--rows", "nonsense"])
    assert "no row nonsense" in capsys.readouterr().err


def test_figures_can_be_read_again(bench: Any, tmp_path: Path) -> None:
    report, rows = bench("report"), bench("rows")
    row = rows.Row("ps", "ps")
    row.results = {"pyrun": {"median_ms": 1.0, "min_ms": 1.0, "spread_ms": 0.0, "samples": 1}}
    row.checks = [("good", True)]
    report.write(tmp_path / "out.json", report.document([row], {"runc": "not installed"}))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["rows"][0]["results"]["pyrun"]["median_ms"] == 1.0
    assert found["rows"][0]["checks"] == [{"text": "good", "reached": True}]
    assert found["left_out"] == {"runc": "not installed"}
    assert found["machine"]["processors"] >= 1


def test_memory_leaves_out_the_containers_own_processes(bench: Any) -> None:
    memory = bench("memory")
    before = memory.processes()
    assert os.getpid() in before
    del before[os.getpid()]
    total, counts = memory.overhead(before)
    assert total > 1_000_000
    assert sum(counts.values()) >= 1
