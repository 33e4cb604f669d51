"""The tests of the monitor and of the plan once more, on a monitor built with AddressSanitizer and UBSan."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.features import ROOT, requires


@pytest.mark.full
@pytest.mark.timeout(900)
@requires("sanitizers", "overlay", "native")
def test_the_sanitizers_find_nothing() -> None:
    here = Path(__file__).parent
    files = sorted(
        str(path) for path in [*here.glob("test_plan_*.py"), *here.glob("test_monitor_*.py"), here / "test_cve.py"]
    )
    environment = os.environ | {"PYRUN_TEST_LIBEXEC": str(ROOT / "build/sanitize")}
    # A finding ends the monitor with an error: the test that has it fails.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env=environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
