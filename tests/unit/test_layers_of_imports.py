"""Imports point downwards only (ARCHITECTURE.md): an AST walk over the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent.parent / "pyrun"

_DATA = {"errors", "oci", "_native", "_seccomp", "__init__"}
_RUNTIME = {*_DATA, "linux", "runtime", "store"}
# part of the package → parts that it may import, besides itself
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "oci": {"errors"},
    "linux": {"errors", "oci", "_native", "_seccomp", "__init__"},
    # The lower half knows no image: of the store, only where things are.
    "runtime": {*_DATA, "linux", "store"},
    "layers": _RUNTIME,
    "store": {*_RUNTIME, "layers"},
    "registry": {*_DATA},
    # Verdicts are pure: who fetches signatures, and who keeps them, is above.
    "trust": {"errors", "oci"},
    # What a short name stands for is a setting of registries.
    "images": {*_RUNTIME, "layers", "registry"},
    "network": _RUNTIME,
    "volumes": {*_RUNTIME, "layers"},
    "build": {*_RUNTIME, "layers", "images"},
    "engine": {*_RUNTIME, "layers", "images", "registry", "trust", "build", "network", "volumes"},
    "cli": {"errors", "engine", "__init__"},
    "api": {"errors", "engine", "__init__"},
    "ociruntime": _RUNTIME,
    # The library's face: names only, fetched from the engine on first use.
    "__init__": {"engine", "errors"},
    "__main__": {"cli"},
}
# Front ends may use the pure data of references and JSON; an engine result carries it.
ARROWS["cli"] |= {"oci", "store"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[tuple[int, str]]:
    """Return (line, dotted name) of all imports, also those inside functions and of TYPE_CHECKING blocks."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {(node.lineno, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found |= {(node.lineno, f"{node.module}.{alias.name}") for alias in node.names}
    return found


def part_imported(name: str) -> str | None:
    """`pyrun.store.layout.Layout` → store; `pyrun.__version__` → __init__; foreign → None."""
    top, _, rest = name.partition(".")
    if top != "pyrun":
        return None
    part = rest.partition(".")[0]
    is_part = (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists() or part in ("_native", "_seccomp")
    return part if part and is_part else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    part = part_of(path)
    allowed = ARROWS[part] | {part}
    wrong = {
        f"line {line}: {name}" for line, name in imports(path) if (to := part_imported(name)) and to not in allowed
    }
    assert not wrong, f"{part}/ may import {', '.join(sorted(allowed))}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_front_ends_know_click(path: Path) -> None:
    if part_of(path) != "cli":
        assert not [name for _, name in imports(path) if name.partition(".")[0] == "click"]


def test_every_part_has_its_arrows() -> None:
    assert {part_of(path) for path in MODULES} <= ARROWS.keys()


def test_arrows_have_no_cycle_between_halves() -> None:
    upper = {"images", "registry", "trust", "build", "network", "volumes", "engine", "cli", "api"}
    for lower in ("errors", "oci", "linux", "runtime", "store", "layers"):
        assert not ARROWS[lower] & upper
