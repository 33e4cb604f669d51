"""The verb image diff: which files of an image are not as in another one, or as below its highest layer.

It must not print. What counts: native/tree/difference.c. Nothing is mounted.
"""

from __future__ import annotations

import os

from pyrun.engine import contents, namespace
from pyrun.engine.diff import Change
from pyrun.images import resolve
from pyrun.layers import pyrun_tree
from pyrun.runtime.engine_ns import FORM_FLAT
from pyrun.store import leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout


def image_diff(layout: Layout, text: str, base: str | None = None) -> list[Change]:
    """Return what makes an image differ from ``base``, or from itself without its highest layer, sorted by path.

    Raises: ImageNotFoundError; StoreCorruptError where layers are missing; SyscallError.
    """
    wanted = [resolve.find_entry(layout, name)["digest"] for name in (text, base) if name is not None]
    with leases.acquire(layout, wanted):
        form = namespace.form()
        records = [resolve.load_record(layout, digest) for digest in wanted]
        for record, name in zip(records, (text, base), strict=False):
            contents.require_layers(layout, record, form, "compare", name or text)
        ours = _diff_ids(records[0])
        theirs = ours[:-1] if base is None else _diff_ids(records[1])
        words = ["--flat"] if form == FORM_FLAT else []
        words += contents.image_layers(layout, ours, form)
        words += contents.image_layers(layout, theirs, form, option="--base")
        return _compare(layout, words, text)


def _diff_ids(record: dict[str, Any]) -> list[str]:
    return [layer["diff_id"] for layer in record["layers"]]


def _compare(layout: Layout, words: list[str], text: str) -> list[Change]:
    output = os.memfd_create("pyrun-diff", os.MFD_CLOEXEC)
    try:
        job = pyrun_tree.Job(["difference", *words], spawn=namespace.spawner(layout), stdout_fd=output)
        report, status = job.wait()
        if status != 0:
            raise pyrun_tree.failure(report, status, layer="", path=text)
        os.lseek(output, 0, os.SEEK_SET)
        with os.fdopen(os.dup(output), "rb") as file:
            lines = [os.fsdecode(line) for line in file.read().split(b"\0") if line]
    finally:
        os.close(output)
    return sorted((Change(line[0], line[2:]) for line in lines), key=lambda change: os.fsencode(change.path))
