"""What the hot verbs import: nothing that costs, and not much (design.md §8)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pyrun
from pyrun.cli.generate_table import HOT

ROOT = Path(pyrun.__file__).parents[1]
FORBIDDEN = {
    "click", "collections", "dataclasses", "enum", "functools", "hashlib", "json", "msgspec", "pathlib", "re", "rich",
    "socket", "subprocess", "typing", "urllib", "urllib3",
}  # fmt: skip
PARSE = """
import sys
before = set(sys.modules)
sys.path[:0] = {path!r}
from pyrun.cli import main
call = main.parse(main.Session(), {argv!r})
assert call is not None
main._load("pyrun.cli." + call[0])
print("\\n".join(sorted(set(sys.modules) - before)))
"""
ARGUMENTS = {
    "run": ["image"],
    "create": ["image"],
    "exec": ["c", "true"],
    "ps": [],
    "cp": ["c:/a", "b"],
    "rename": ["c", "d"],
    "tag": ["i", "j"],
}


def modules(verb: str) -> set[str]:
    """The modules that a verb has loaded when it has parsed its arguments, beyond a bare start."""
    path = [str(ROOT), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    words = verb.split("_")
    script = PARSE.format(path=path, argv=[*words, *ARGUMENTS.get(verb, ["c"])])
    run = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("verb", HOT)
def test_parsing_loads_sixteen_modules_at_most(verb: str) -> None:
    loaded = modules(verb)
    assert not loaded & FORBIDDEN
    assert len(loaded) <= 16, sorted(loaded)  # os and the six that it needs, __future__, and eight of ours


def test_importing_pyrun_loads_nothing_else() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules); import pyrun"
    script += "; print(set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "{'pyrun'}"


def test_public_names_exist() -> None:
    for name in pyrun.__all__:
        assert getattr(pyrun, name) is not None
    with pytest.raises(AttributeError):
        pyrun.nonesuch  # noqa: B018
