"""`pyrun fsck`, `pyrun system check`: one sentence per finding; 0 if no damage is left, else 1."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, flag, text, tls_verify
from pyrun.cli.text import human_size
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.cli.main import Session
    from pyrun.engine.findings import Finding, Hear
    from pyrun.engine.fsck import Checked


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "fsck", execute, usage="", summary="Check the store: blobs, layers, records and what refers to what",
        params=[
            flag("--drop-quarantine", "Remove what --repair has taken away and kept, and do nothing else"),
            flag("-f --force", "With --repair, also take away what is damaged and cannot be made or fetched again"),
            text("--format", "Print the findings as json"),
            text("-m --max", "Do not list what nobody needs if it is younger (24h, 30m)", metavar="duration"),
            flag("--quick", "Read no blob and no file of a layer: only whether all is there"),
            flag("-r --repair", "Make damaged things again, from blobs or from their registry; keep the old ones"),
            tls_verify(),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Check, print, answer."""
    from pyrun.engine import fsck
    from pyrun.engine.findings import Options
    from pyrun.store.layout import Layout

    # Not `session.layout`: a store whose version file is damaged is opened by no other verb.
    layout = Layout.default(session.root)
    if params["format"] not in (None, "", "json"):
        raise InvalidInputError(f"invalid --format: {params['format']}", hint="json, or nothing")
    if params["force"] and not params["repair"]:
        raise InvalidInputError("conflicting options: --force is for --repair")
    options = Options(
        quick=params["quick"], repair=params["repair"], force=params["force"], max_age=_age(params["max"]),
        tls_verify=params["tls_verify"],
    )  # fmt: skip
    fsck.open_damaged(layout, write=options.repair or params["drop_quarantine"])
    if params["drop_quarantine"]:
        for name in fsck.drop_quarantine(layout):
            print(name)
        return 0
    with _progress() as hear:
        checked = fsck.fsck(layout, options, hear)
    if params["format"]:
        print(json.dumps(_document(checked)))
    else:
        _show(checked)
    return 0 if checked.is_clean else 1


def _age(text: str | None) -> int:
    from pyrun.engine import duration

    age = duration.parse(text) if text else 0
    if age is None or age < 0:
        raise InvalidInputError(f"invalid --max: {text}", hint="a span of time: 24h, 90m")
    return age


def _show(checked: Checked) -> None:
    for finding in checked.findings:
        size = f" ({human_size(finding.size)})" if finding.size else ""
        print(finding.sentence + size)
    damaged = [finding for finding in checked.findings if finding.is_damage]
    mended = sum(1 for finding in damaged if finding.mended)
    words = f"{checked.images} images, {checked.layers} layers, {checked.blobs} blobs of {human_size(checked.bytes)}"
    if not damaged:
        print(f"no damage: {words}")
    else:
        print(f"{len(damaged)} damaged, {mended} of them mended: {words}")
    if not checked.is_clean:
        print("`pyrun fsck --repair` makes again what it can", file=sys.stderr)


def _document(checked: Checked) -> dict[str, Any]:
    return {
        "Findings": [_finding(finding) for finding in checked.findings],
        "Images": checked.images,
        "Layers": checked.layers,
        "Blobs": checked.blobs,
        "Bytes": checked.bytes,
        "Clean": checked.is_clean,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "Kind": finding.kind,
        "Subject": finding.subject,
        "Problem": finding.problem,
        "Mended": finding.mended,
        "Size": finding.size,
        "Damage": finding.is_damage,
    }


@contextmanager
def _progress() -> Iterator[Hear | None]:
    """Show how much is read, on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("checking"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)
        lock = threading.Lock()

        def hear(event: str, what: str, number: int) -> None:
            with lock:
                if event == "total":
                    bar.update(task, total=number)
                else:
                    bar.advance(task, number)

        yield hear
