"""Shows the rows: a plain table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from benchlib import tools
from benchlib.row import Row


def show(row: Row) -> None:
    """Print one row as soon as it is known."""
    print(f"\n{row.name}: {row.title}")
    own = row.median("pyrun")
    for name, result in sorted(row.results.items(), key=lambda item: item[1]["median_ms"]):
        factor = f"{result['median_ms'] / own:8.2f} × pyrun" if own and name != "pyrun" else ""
        if row.unit == "MB":
            print(f"  {name:<14}{result['median_ms']:10.3f} MB {factor}")
        else:
            detail = f"min {result['min_ms']:9.2f}  spread {result['spread_ms']:8.2f}  n={result['samples']:<4}"
            print(f"  {name:<14}{result['median_ms']:10.2f} ms  {detail}{factor}")
    for name, reason in row.failures.items():
        print(f"  {name:<14}failed: {reason}")
    for text, good in row.checks:
        print(f"  {'reached' if good else 'MISSED '}: {text}")
    for note in row.notes:
        print(f"  ({note})")


def document(rows: list[Row], left_out: dict[str, str]) -> dict[str, Any]:
    """Return everything for JSON, with what is needed to compare it with another day's."""
    return {
        "format": 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "versions": versions(),
        "left_out": left_out,
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "unit": row.unit,
                "results": row.results,
                "failures": row.failures,
                "checks": [{"text": text, "reached": good} for text, good in row.checks],
                "notes": row.notes,
            }
            for row in rows
        ],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Return kernel, processors and memory."""
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_kb": int(total.split()[1]),
        "uid": os.getuid(),
    }


def versions() -> dict[str, str]:
    """Return what every competitor says about itself."""
    found = {}
    for name in ("podman", "crun", "runc", "bwrap", "skopeo", "umoci", "igzip"):
        program = tools.find(name)
        if program:
            done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
            found[name] = (done.stdout or done.stderr).strip().partition("\n")[0]
    return found
