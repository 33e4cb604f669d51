"""pyrun.oci.reference against the answers of the ecosystem's reference library, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun.errors import InvalidReferenceError
from pyrun.oci.reference import Reference, parse, parse_any, parse_normalized

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "corpora" / "references.json").read_text())
DIGEST = "sha256:" + "0123456789abcdef" * 4


def answer(function: Callable[[str], Reference], text: str) -> Reference | dict[str, str]:
    try:
        return function(text)
    except InvalidReferenceError as error:
        return {"error": error.reason if error.text == text else f"error about another text: {error.text!r}"}


def fields(reference: Reference | dict[str, str], like: dict[str, Any]) -> dict[str, str]:
    if not isinstance(reference, Reference):
        return reference
    found = {key: getattr(reference, key) for key in ("domain", "name", "path", "string")}
    found.update({key: getattr(reference, key) for key in ("tag", "digest") if getattr(reference, key)})
    if "familiar" in like:
        found.update(familiar=reference.familiar, familiar_name=reference.familiar_name)
        found["with_default_tag"] = reference.with_default_tag().string
    return found


def text_of(reference: Reference | dict[str, str]) -> str | dict[str, str]:
    return reference.string if isinstance(reference, Reference) else reference


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 229
    assert sum("error" in row["parse"] for row in ROWS) == 51


@pytest.mark.parametrize("row", ROWS, ids=[repr(row["input"])[:60] for row in ROWS])
def test_same_answer_as_the_reference_library(row: dict[str, Any]) -> None:
    text = row["input"]
    assert fields(answer(parse, text), row["parse"]) == row["parse"]
    assert fields(answer(parse_normalized, text), row["normalized"]) == row["normalized"]
    assert text_of(answer(parse_any, text)) == row["any"]
    assert text_of(answer(lambda given: parse_normalized(given).pinned(), text)) == row["docker_ref"]


@pytest.mark.parametrize(
    "text",
    [
        *("debian\n", "debian:12\n", "debian ", "débian", "debian:", "debian@", "debian:-a", "debian:" + "t" * 129),
        *(
            f"debian@{DIGEST}@{DIGEST}",
            f"debian@{DIGEST.upper()}",
            "host:/a",
            "host:x/a",
            "[::1/a",
            "[]/a",
            "a//b",
            "a___b",
            "a.-b",
        ),
        *("٣/b:٣", "debian:٣", "example.com:٣/a", f"debian@sha256:{'A' * 64}", f"debian@1a:{'a' * 64}"),
        f"debian@sha256:{'a' * 31}",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_normalized(text)
    assert repr(text) in caught.value.message
    assert caught.value.message.startswith("invalid image reference: ")


def test_longest_tag_and_path() -> None:
    assert parse_normalized("debian:" + "t" * 128).tag == "t" * 128
    assert parse_normalized("example.com/" + "p" * 255).path == "p" * 255
    with pytest.raises(InvalidReferenceError, match="more than 255"):
        parse_normalized("example.com/" + "p" * 256)


def test_tag_and_digest_together() -> None:
    reference = parse_normalized(f"debian:12@{DIGEST}")
    assert (reference.tag, reference.digest) == ("12", DIGEST)
    assert reference.familiar == f"debian:12@{DIGEST}"
    assert reference.with_default_tag() is reference
    assert reference.pinned() == Reference("docker.io", "library/debian", "", DIGEST)


WORDS = st.text("abz019", min_size=1, max_size=4)
PATHS = st.lists(st.lists(WORDS, min_size=1, max_size=3).map("-".join), min_size=1, max_size=3).map("/".join)
DOMAINS = st.sampled_from(["docker.io", "localhost", "localhost:5000", "[::1]:80", "Host", "a.b-c.d:1", "10.0.0.1"])


@given(DOMAINS, PATHS, st.text("aZ_09", max_size=5), st.sampled_from(["", DIGEST]))
def test_round_trip(domain: str, path: str, tag: str, digest: str) -> None:
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    reference = Reference(domain, path, tag, digest)
    assert parse(reference.string) == reference
    assert parse_normalized(reference.string) == reference
    # A Docker Hub path whose first part looks like a host has no shorter form that is still the same reference.
    assert parse_normalized(reference.familiar) == reference


@given(st.text("aA0._-:/@[]é", max_size=20))
def test_never_another_error(text: str) -> None:
    for function in (parse, parse_normalized, parse_any):
        try:
            reference = function(text)
        except InvalidReferenceError:
            continue
        assert parse(reference.string) == reference or not reference.path
