"""`pyrun stats`: a live table of what containers use, in docker's columns."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from pyrun.cli import text
from pyrun.cli.definitions import Verb, argument, flag
from pyrun.cli.definitions import text as text_option
from pyrun.cli.formatting import Row, show_rows

if TYPE_CHECKING:
    from pyrun.cli.main import Session
    from pyrun.engine.stats import Stats

# From one look to the next: the kernel counts time in hundredths of a second.
_SECONDS = 1.0
_CLEAR = "\033[2J\033[H"
_TABLE = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
HEADINGS = {
    "BlockIO": "BLOCK I/O", "CPUPerc": "CPU %", "Container": "CONTAINER", "ID": "CONTAINER ID", "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT", "Name": "NAME", "NetIO": "NET I/O", "PIDs": "PIDS", "Source": "SOURCE",
}  # fmt: skip


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "stats", execute, usage="[CONTAINER...]",
        summary="Display a live stream of container(s) resource usage statistics",
        params=[
            flag("-a --all", "Show all containers (default shows just running)"),
            text_option("--format", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE"),
            flag("--no-stream", "Disable streaming stats and only pull the first result"),
            flag("--no-trunc", "Do not truncate output"),
            argument("containers", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print the table once, or until somebody interrupts or none of the named containers is left."""
    from pyrun.engine.stats import Sampler

    sampler = Sampler(session.layout, params["containers"], all=params["all"])
    template = params["format"] or _TABLE
    if template == "table":
        template = _TABLE
    is_live = sys.stdout.isatty() and not params["no_stream"]
    found = sampler.sample()
    if is_live:
        _show(found, template, is_live=True, no_trunc=params["no_trunc"], is_first=True)
    while found or not params["containers"]:
        time.sleep(_SECONDS)
        found = sampler.sample()
        _show(found, template, is_live=is_live, no_trunc=params["no_trunc"])
        if params["no_stream"]:
            return 0
    return 0


def _show(found: list[Stats], template: str, *, is_live: bool, no_trunc: bool, is_first: bool = False) -> None:
    if is_live:
        print(_CLEAR, end="")
    show_rows(template, [row(stats, no_trunc=no_trunc, is_first=is_first) for stats in found], HEADINGS)
    sys.stdout.flush()


def row(stats: Stats, *, no_trunc: bool, is_first: bool) -> Row:
    """Return what templates may name; "--" stands where nothing is known yet. `{{.Source}}` is ours: not in JSON."""
    container = stats.container
    names = {
        "Container": stats.given, "ID": container.id if no_trunc else container.id[:12],
        "Name": container.record["name"],
    }  # fmt: skip
    source = "" if stats.usage is None else stats.usage.source
    return Row(dict(sorted({**names, **_figures(stats, is_first=is_first)}.items())), Source=source)


def _figures(stats: Stats, *, is_first: bool) -> dict[str, str]:
    usage = stats.usage
    pairs, percents = ("BlockIO", "MemUsage", "NetIO"), ("CPUPerc", "MemPerc")
    if is_first:
        return {**dict.fromkeys(pairs, "-- / --"), **dict.fromkeys(percents, "--"), "PIDs": "--"}
    if usage is None:
        return {**dict.fromkeys(pairs, "0B / 0B"), **dict.fromkeys(percents, "0.00%"), "PIDs": "0"}
    return {
        "BlockIO": f"{text.human_size(usage.read)} / {text.human_size(usage.written)}",
        "CPUPerc": "--" if stats.cpu_percent is None else f"{stats.cpu_percent:.2f}%",
        "MemPerc": f"{100 * usage.memory / usage.limit:.2f}%",
        "MemUsage": f"{text.binary_size(usage.memory)} / {text.binary_size(usage.limit)}",
        "NetIO": f"{text.human_size(usage.received)} / {text.human_size(usage.sent)}",
        "PIDs": str(usage.pids),
    }
