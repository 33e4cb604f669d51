"""What documents and hints show can be typed: the verbs and flags are there, and a test runs each example."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from pyrun.cli import app
from pyrun.cli.definitions import ArgumentCountError

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CHANGELOG.md", "pyrun/ARCHITECTURE.md", "tests/README.md", "native/README.md")
_QUOTED = re.compile(r"`((?:\.venv/bin/)?(?:pyrun|scripts/[a-z-]+|python -m|pip)(?: [^`]*)?)`")
_BLOCK = re.compile(r"^    ((?:\$ |@reboot )?(?:\.venv/bin/pyrun|pyrun|scripts/|pip|python) ?[^#\n]*)", re.MULTILINE)
EXAMPLES = "tests/integration/test_documented_examples.py"
POLICIES, SETUP = "tests/integration/test_restart_policy.py", ".ci/run"
# Command lines of the documents that are none of README.md's `$ …`, all of which EXAMPLES runs: which file runs it,
# and the words by which.
RUN_BY = {
    "@reboot pyrun start --all --filter should-start-on-boot=true": (
        POLICIES,
        '"--filter", "should-start-on-boot=true"',
    ),
    "pyrun start --all --filter should-start-on-boot=true": (POLICIES, '"--filter", "should-start-on-boot=true"'),
    "pyrun --debug=plan run …": ("tests/integration/test_secrets.py", '"--debug=plan"'),
    "pyrun run --rm -p 8080:80 image": (EXAMPLES, '"8080:80"'),
    "pyrun run IMAGE": (EXAMPLES, "LINES"),
    "pyrun container …": ("tests/conformance/test_showing.py", '"container prune'),
    "pyrun help [VERB]": ("tests/integration/test_docker_scripts.py", "docker help rm"),
    "pyrun fsck": ("tests/integration/test_fsck.py", '"fsck", "--format", "json"'),
    "pyrun fsck --drop-quarantine": ("tests/integration/test_fsck.py", '"fsck", "--drop-quarantine"'),
    "pyrun info": ("tests/integration/test_info.py", '"info"'),
    "python -m pyrun.cli.generate_table": ("tests/unit/test_cli_parse.py", "generate_table.generate()"),
    "pip install .": ("scripts/build-venv", "pip install"),
    ".venv/bin/python -m pytest tests/unit": ("scripts/test", ".venv/bin/python -m pytest"),
    "scripts/quickstart": (EXAMPLES, '"scripts/quickstart"'),
    "scripts/setup": (EXAMPLES, '"scripts/setup"'),
    "scripts/dev-build": (EXAMPLES, '"scripts/dev-build"'),
    "scripts/dev-build --sanitize": ("scripts/test", "scripts/dev-build --sanitize"),
    "pyrun manifest create": ("tests/integration/test_manifest_lists.py", '"manifest", "create"'),
    "pyrun registry inspect": ("tests/integration/test_registry_verbs.py", '"registry", "inspect"'),
    "scripts/fuzz": ("tests/kernel/test_tree_fuzz.py", '"scripts/fuzz"'),
    "scripts/fuzz TARGET…": ("tests/kernel/test_tree_fuzz.py", '"scripts/fuzz"'),
    "scripts/check": ("scripts/test", "scripts/check"),
    "scripts/test": (SETUP, "scripts/test"),
    "scripts/test --full": (SETUP, "scripts/test"),
    "scripts/test tests/unit": (SETUP, "scripts/test"),
}


def _lines(document: str) -> set[str]:
    """Return the command lines of a document that are not README.md's `$ …`."""
    text = (ROOT / document).read_text()
    found = {*_QUOTED.findall(text), *(line.strip() for line in _BLOCK.findall(text))}
    return {line for line in found if not line.startswith("$ ") and line != "pyrun"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_example_of_a_document_is_run_by_a_test(document: str) -> None:
    for line in _lines(document):
        file, words = RUN_BY[line]
        assert words in (ROOT / file).read_text(), line


def test_no_example_is_listed_that_no_document_has() -> None:
    assert {line for document in DOCUMENTS for line in _lines(document)} == set(RUN_BY)


def _texts(path: Path) -> list[str]:
    """Return the texts in a module, `{…}` in them as `x`."""
    if path.suffix != ".py":
        return [path.read_text()]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


SHOWN = sorted({
    line
    for path in [*(ROOT / name for name in DOCUMENTS), *(ROOT / "pyrun").rglob("*.py")]
    for text in _texts(path)
    for line in re.findall(r"`(?:@reboot |\.venv/bin/)?pyrun ([^`]+)`|^ *\$ \.venv/bin/pyrun (.+)$", text, re.MULTILINE)
})  # fmt: skip


@pytest.mark.parametrize("shown", ["".join(line) for line in SHOWN])
def test_what_is_shown_can_be_typed(shown: str) -> None:
    words = [word for word in shown.split() if word not in ("…", "[VERB]") and not word.startswith("--debug")]
    command: click.Command = app.root()
    while isinstance(command, click.Group) and words and words[0] != "help":
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, "no such verb"
        command = found
    if isinstance(command, click.Group):
        return
    try:
        command.make_context(str(command.name), words)
    except (click.exceptions.Exit, ArgumentCountError):  # --help; many are shown without what they are to work on
        return
    except click.UsageError as error:
        if not error.message.startswith("flag needs an argument"):  # shown for itself
            raise
