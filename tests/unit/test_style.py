"""Rules that no linter holds: sizes, names, who prints, who exits, what may not be swallowed."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "pyrun"
MODULES = sorted(PACKAGE.rglob("*.py"))
NATIVE = sorted([*(ROOT / "native").rglob("*.c"), *(ROOT / "native").rglob("*.h")])
# Written by programs; their generators are held to the rules.
GENERATED = {PACKAGE / "cli" / "table.py"}
FORBIDDEN = {"utils", "util", "helpers", "common", "misc", "manager"}
FILE_LINES, FUNCTION_LINES = 500, 80


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in [*MODULES, *NATIVE] if p not in GENERATED], ids=name)
def test_no_file_is_a_book(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("path", [p for p in MODULES if p not in GENERATED], ids=name)
def test_functions_fit_on_a_page(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES, f"line {node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", NATIVE, ids=name)
def test_c_functions_fit_on_a_page(path: Path) -> None:
    start = 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        # Kernel style: a function's braces stand in the first column.
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            assert number - start <= FUNCTION_LINES, f"line {start}: {number - start} lines"
            start = 0


def test_names_say_something() -> None:
    files = [*PACKAGE.rglob("*"), *(ROOT / "native").rglob("*"), *(ROOT / "tests").rglob("*")]
    assert not [name(path) for path in files if path.stem in FORBIDDEN]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), "a module opens with what it is and what it must not know"


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent.name != "cli" and p.name != "__main__.py"], ids=name)
def test_only_front_ends_print_or_exit(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        assert called not in ("print", "sys.exit", "exit", "quit"), f"line {getattr(node, 'lineno', 0)}: {called}()"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_error_vanishes(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            silent = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not (broad and silent), f"line {node.lineno}: everything is caught, nothing is done"


@pytest.mark.parametrize("path", [*MODULES, *NATIVE], ids=name)
def test_nothing_is_left_for_later(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text())


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    match = re.search(r'^__version__ = "(.+)"$', (PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    assert match
    assert match[1] == project["version"]
