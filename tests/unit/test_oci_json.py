"""pyrun.oci.json against the standard library's json, and what it must refuse."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrun.oci import json as hot
from tests.support.features import ROOT

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # other work may hold the machine
@given(VALUES)
def test_round_trip_and_same_as_json(value: Any) -> None:
    text = hot.dumps(value)
    assert hot.loads(text) == value
    assert json.loads(text) == value
    assert hot.loads(json.dumps(value, indent=2).encode()) == value
    assert text == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 3),
        ("{", 1),
        ('{"a":1,}', 6 if sys.version_info >= (3, 13) else 7),
        ("[1,2", 4),
        ("nul", 0),
        ("{} x", 3),
        ('"abc', 0),
        ('{"a" 1}', 5),
        ("[1 2]", 3),
        ('"\x01"', 1),
        (b"\xff{}", 0),
        (b'{"a":"\xe9"}', 6),
        ("\ufeff{}", 0),
    ],
)
def test_bad_input_names_the_position(text: str | bytes, position: int) -> None:
    with pytest.raises(ValueError) as caught:
        hot.loads(text)
    assert isinstance(caught.value, hot.JSONError)
    assert caught.value.position == position
    assert f"position {position}" in str(caught.value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "[" * 100_000])
def test_not_json(text: str) -> None:
    with pytest.raises(hot.JSONError):
        hot.loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_dumps_refuses_what_json_has_not(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        hot.dumps(value)


def test_dumps_refuses_other_types_and_loops() -> None:
    with pytest.raises(TypeError, match="set"):
        hot.dumps({"a": {1}})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        hot.dumps(loop)


def test_surrogates_survive() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert hot.loads(hot.dumps({name: name})) == {name: name}
    assert hot.dumps({name: 1}).isascii()


def test_sorted_keys() -> None:
    assert hot.dumps({"b": 1, "a": {"d": 1, "c": 2}}, sort_keys=True) == '{"a":{"c":2,"d":1},"b":1}'


def test_imports_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import os; before = set(sys.modules);"
        "import pyrun.oci.json, pyrun.oci.reference, pyrun.oci.digest;"
        "print(sorted(set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(result.stdout))
    assert {name for name in loaded if not name.startswith("pyrun")} <= {"_json", "__future__"}, loaded
