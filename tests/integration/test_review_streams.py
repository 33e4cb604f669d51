"""A caller that closed its standard streams: pyrun's own files must not get their numbers."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["run --rm -i --network none", "exec -i running"])
def test_closed_streams(box: Box, closed: str, verb: str) -> None:
    box.start("running")
    target = "" if verb.startswith("exec") else box.image
    command = f"{box.pyrun.program[0]} {verb} {target} sh -c 'cat; echo out; echo err >&2; exit 3' {closed}"
    done = subprocess.run(
        ["sh", "-c", command], env=box.pyrun.environment, capture_output=True, text=True, input="in\n"
    )
    assert done.returncode == 3, done
    closes_input, closes_output, closes_error = "<" in closed, " >" in f" {closed}", "2>" in closed
    assert done.stdout == ("" if closes_output else "out\n" if closes_input else "in\nout\n")
    assert done.stderr == ("" if closes_error else "err\n")
