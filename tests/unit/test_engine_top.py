"""ps's output cut down to some processes, as docker's daemon does."""

from __future__ import annotations

import pytest

from pyrun.engine.top import parse
from pyrun.errors import InvalidInputError


def test_lines_of_ours_and_their_overhanging_fields() -> None:
    output = "UID   PID CMD\nroot  1 /sbin/init\nalice 42 sleep  1000 x\n"
    assert parse(output, frozenset({42})) == [["UID", "PID", "CMD"], ["alice", "42", "sleep 1000 x"]]


def test_a_name_with_a_space_of_unicode_is_one_field() -> None:
    assert parse("PID CMD\n7 a\u00a0b\u2003c\n", frozenset({7}))[1] == ["7", "a\u00a0b\u2003c"]


def test_threads_follow_their_process() -> None:
    output = "PID LWP\n1 -\n- 1\n7 -\n- 7\n- 8\n9 -\n- 9\n"
    assert parse(output, frozenset({7}))[1:] == [["7", "-"], ["-", "7"], ["-", "8"]]


@pytest.mark.parametrize(
    ("output", "words"), [("LWP CMD\n1 x\n", "couldn't find PID field"), ("PID CMD\nx y\n", "unexpected pid 'x'")]
)
def test_what_cannot_be_read(output: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        parse(output, frozenset({1}))
