"""Pulls under the stepper, again and again: one request a line on stdin, one answer a line on stdout, both JSON.

{"root", "runtime", "reference", "form", "when"} -> {"calls", "killed", "status"}: a pull is forked, and killed with all
that it has started at its WHEN-th system call. This process has loaded what a pull needs: a new one for each would do
nothing else most of the time. It has no threads: fork(2) would copy a lock that nobody opens.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from pyrun.engine import image_pull  # noqa: F401 - loaded once
from pyrun.engine.pull import pull
from pyrun.layers import compression, pyrun_tree
from pyrun.store.layout import Layout
from tests.support.stepper import Stepper


def step(wanted: dict[str, Any]) -> dict[str, Any]:
    """Pull once, and kill."""
    layout = Layout(wanted["root"], wanted["runtime"])

    def act() -> None:
        pull(layout, wanted["reference"], form=wanted["form"], spawn=pyrun_tree.spawn_here)

    stepper = Stepper("any", wanted["when"], frozenset(("client", "helper")))
    stepper.follow(act)
    return {"calls": Counter(stepper.calls).total(), "killed": len(stepper.killed), "status": stepper.status}


def main() -> None:
    """Serve until stdin ends."""
    compression.errors()  # loads the decompressors
    for line in sys.stdin:
        print(json.dumps(step(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
