"""One target of targets.py under atheris: ``python -m tests.fuzz.python_target NAME CORPUS… [libFuzzer option…]``."""

from __future__ import annotations

import sys

import atheris

from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    # Not instrument_imports: it does not see through the loader of an editable install.
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
