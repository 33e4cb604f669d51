"""The table of docker's flags is in step with the definitions, and leaves none out."""

from __future__ import annotations

from pyrun.cli import compatibility
from pyrun.cli.docker_flags import FLAGS


def test_the_table_is_up_to_date() -> None:
    # python -m pyrun.cli.compatibility
    assert compatibility.TARGET.read_text() == compatibility.generate()


def test_every_flag_of_docker_is_answered() -> None:
    text = compatibility.generate()
    for verb, flags in FLAGS.items():
        section = text.split(f"## {verb}\n")[1].split("\n## ")[0]
        for flag in flags.split():
            assert "not yet" in section or f"| `{flag.replace('/', '`, `')}` |" in section, (verb, flag)


def test_no_difference_outlives_its_flag() -> None:
    for key in compatibility.DIFFERS:
        verb, _, flag = key.rpartition(" ")
        assert flag in FLAGS[verb].replace("/", " ").split(), key
