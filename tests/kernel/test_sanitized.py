"""The tests of the native programs once more, on those built with AddressSanitizer and UBSan."""

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
    names = ("test_plan_*.py", "test_monitor_*.py", "test_cve.py", "test_tree_*.py")
    files = sorted(str(path) for name in names for path in here.glob(name))
    environment = os.environ | {"PYRUN_TEST_LIBEXEC": str(ROOT / "build/sanitize")}
    # A finding ends the monitor with an error: the test that has it fails.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env=environment, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
