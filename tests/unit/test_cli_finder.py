"""The finder of our own modules: the same modules as the interpreter's, and never stale byte code."""

from __future__ import annotations

import importlib
import py_compile
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from pyrun.cli import finder

PACKAGE = Path(finder.__file__).parent.parent


@pytest.mark.parametrize("name", ["pyrun", "pyrun.cli.main", "pyrun.engine", "pyrun.oci.json"])
def test_it_finds_what_the_interpreter_finds(name: str) -> None:
    py_compile.compile(str(importlib.import_module(name).__file__))
    above = name.rpartition(".")[0]
    theirs = PathFinder.find_spec(name, importlib.import_module(above).__path__ if above else None)
    ours = finder.find_spec(name)
    assert ours is not None
    assert theirs is not None
    for attribute in ("name", "origin", "cached", "has_location", "submodule_search_locations", "parent"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert ours.loader is not None
    assert theirs.loader is not None
    assert ours.loader.get_code(name) == theirs.loader.get_code(name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["pyrun._native", "pyrun.nothing", "pyrunner.cli", "os"])
def test_it_leaves_the_rest_to_others(name: str) -> None:
    assert finder.find_spec(name) is None


def test_old_foreign_and_broken_byte_code_is_left_to_the_interpreter(tmp_path: Path) -> None:
    source = tmp_path / "said.py"
    source.write_text("WORD = 1\n")
    cached = Path(str(py_compile.compile(str(source))))
    assert finder._spec("pyrun.said", str(tmp_path), "said") is not None
    whole = cached.read_bytes()
    other_python, hashed, older, shorter = (
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, 4, 8, 12)
    )
    for content in (other_python, hashed, older, shorter, whole[:-7], whole[:16], whole[:3], b""):
        cached.write_bytes(content)
        assert finder._spec("pyrun.said", str(tmp_path), "said") is None
    cached.write_bytes(whole)
    source.write_text("WORD = 23\n")
    assert finder._spec("pyrun.said", str(tmp_path), "said") is None
