"""The table of docker's flags is in step with the definitions, and leaves none out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pyrun.cli import compatibility, podman_differences
from pyrun.cli.app import NOT_YET
from pyrun.cli.docker_flags import FLAGS
from pyrun.cli.podman_flags import FLAGS as PODMAN_FLAGS
from tests.support.conformance import Case, reasons

CONFORMANCE = Path(__file__).parents[1] / "conformance"


def test_the_table_is_up_to_date() -> None:
    # python -m pyrun.cli.compatibility
    assert compatibility.TARGET.read_text() == compatibility.generate()


def test_every_flag_of_docker_is_answered() -> None:
    text = compatibility.generate()
    for verb, flags in FLAGS.items():
        section = text.split(f"## {verb}\n")[1].split("\n## ")[0]
        for flag in flags.split():
            assert "not yet" in section or f"| `{flag.replace('/', '`, `')}` |" in section, (verb, flag)


def test_every_flag_of_podmans_image_verbs_is_known() -> None:
    """It works, or it is refused by its name: none is a slip of the pen."""
    for verb, flags in PODMAN_FLAGS.items():
        known = compatibility.podman_options(verb)
        if known is None:
            assert verb.rpartition(" ")[2] in NOT_YET
            continue
        missing = {spelling for flag in flags.split() for spelling in flag.split("/")} - known.keys()
        assert not missing, verb


def test_no_difference_outlives_its_flag() -> None:
    for key in compatibility.DIFFERS:
        verb, _, flag = key.rpartition(" ")
        assert flag in FLAGS[verb].replace("/", " ").split(), key


def test_every_difference_from_podman_is_in_the_table_and_in_a_test() -> None:
    modules = [import_module(f"tests.conformance.{path.stem}") for path in CONFORMANCE.glob("test_*.py")]
    lists = [value for module in modules for value in vars(module).values() if isinstance(value, list)]
    cases = {id(case): case for found in lists for case in found if isinstance(case, Case)}
    assert reasons(cases.values()) == podman_differences.rows()
