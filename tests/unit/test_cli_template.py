"""Go templates as docker's --format uses them.

`corpora/go-templates.json` holds templates, a document, and what the docker client (28.2.2, go1.24.3) made of them.
What docker has not, or pyrun leaves out, is below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrun.cli.formatting import Document, Row, aligned, heading_of_label, show_rows
from pyrun.cli.gotemplate import TemplateError
from pyrun.cli.gotemplate.values import show_float

CORPORA = Path(__file__).parents[1] / "corpora"
CORPUS: dict[str, Any] = json.loads((CORPORA / "go-templates.json").read_text())
DOCUMENTS: dict[str, Any] = json.loads((CORPORA / "docker-documents.json").read_text())


def answer(template: str, document: Any) -> tuple[int, str]:
    """Return docker's exit code (64: cannot be parsed, 1: does not fit), and output or error."""
    try:
        parsed = Document(template)
    except TemplateError as error:
        return 64, error.message
    try:
        return 0, parsed.render(document)
    except TemplateError as error:
        return 1, error.message


@pytest.mark.parametrize(("template", "code", "text"), CORPUS["cases"], ids=[case[0] for case in CORPUS["cases"]])
def test_as_docker_renders_it(template: str, code: int, text: str) -> None:
    assert answer(template, CORPUS["document"]) == (code, text)


@pytest.mark.parametrize(("kind", "template", "code", "text"), DOCUMENTS["cases"])
def test_times_and_absent_fields_are_as_docker_has_them(kind: str, template: str, code: int, text: str) -> None:
    assert answer(template, DOCUMENTS["documents"][kind]) == (code, text)


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        # docker's join takes lists of texts only where it knows their type; newer ones take any list
        ('{{.Id}} {{join .Config.Env ", "}}', "abc A=1, B=2"),
        ("{{json 1.0}} {{json 1.5}}", "1 1.5"),
        # podman has it
        ("{{prettyjson .Config.Labels}}", '{\n    "a.b": "1",\n    "c": "2"\n}'),
        ("{{truncate .Id 99}}", "abc"),
        ("{{js `\x01é`}}", "\\u0001é"),
    ],
)
def test_beyond_docker(template: str, wanted: str) -> None:
    assert answer(template, CORPUS["document"]) == (0, wanted)


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{{range 1000000000000}}{{.}}{{if eq . 3}}{{break}}{{end}}{{end}}", (0, "0123")),
        ('{{printf "%c %q %U" 90000000000 -1 55296}}', (0, "\ufffd '\ufffd' U+D800")),
        (
            '{{printf "%[x]d %-#.2f" 1 "ab"}} {{-0.0}} {{printf "%.1f" -0.0}}',
            (0, "%!d(BADINDEX) %!f(int=01) -0 -0.0"),
        ),
        ('{{printf "%99999999d|%.2000001f" 1 2.0}}', (0, "%!(NOVERB)%!(EXTRA int=1, float64=2)")),
        ("{{" + "(" * 5000, (64, "template parsing error: template: :1: max expression depth exceeded")),
    ],
)
def test_what_nobody_means_does_no_harm(template: str, wanted: tuple[int, str]) -> None:
    assert answer(template, {}) == wanted


@pytest.mark.parametrize("word", ["define", "template", "block"])
def test_left_out_is_said_so(word: str) -> None:
    code, text = answer(f'{{{{{word} "x" .}}}}', {})
    assert (code, text) == (64, f"template parsing error: template: :1: {{{{{word}}}}} is not supported")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (-2.5, "-2.5"), (123456.0, "123456"), (1e6, "1e+06"), (1.5e-5, "1.5e-05"), (0.0001, "0.0001")],
)
def test_floats(number: float, text: str) -> None:
    assert show_float(number) == text
    assert show_float(float("inf")) == "+Inf"


ROWS = [
    Row({"ID": "a" * 12, "Names": "web", "Ports": "0.0.0.0:80->80/tcp"}, Label=lambda key: {"x.y-z": "1"}.get(key, "")),
    Row({"ID": "b" * 12, "Names": "a-very-long-name", "Ports": ""}, Label=lambda key: ""),
]
HEADINGS = {"ID": "CONTAINER ID", "Names": "NAMES", "Ports": "PORTS", "Label": heading_of_label}


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{{.Names}}", "web\na-very-long-name\n"),
        ("  {{.ID}} ", "aaaaaaaaaaaa\nbbbbbbbbbbbb\n"),
        (r"{{.ID}}\t{{.Names}}\n", "aaaaaaaaaaaa\tweb\n\nbbbbbbbbbbbb\ta-very-long-name\n\n"),
        (
            r'table {{.Names}}\t{{upper .ID}}\t{{.Label "x.y-z"}}',
            "NAMES              CONTAINER ID   y z\n"
            "web                AAAAAAAAAAAA   1\n"
            "a-very-long-name   BBBBBBBBBBBB   \n",
        ),
        (
            "json",
            '{"ID":"aaaaaaaaaaaa","Names":"web","Ports":"0.0.0.0:80-\\u003e80/tcp"}\n'
            '{"ID":"bbbbbbbbbbbb","Names":"a-very-long-name","Ports":""}\n',
        ),
        ("table {{len .Names}}", "5\n3\n16\n"),
    ],
)
def test_rows(template: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(template, ROWS, HEADINGS)
    assert capsys.readouterr().out == wanted


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nope}}", "can't evaluate field Nope in type *formatter.Context"),
        ("{{.ID", "template: :1: unclosed action"),
        ("{{.Label}}", "wrong number of args for Label: want 1 got 0"),
        ("{{.Label 1}}", "expected string; found 1"),
        ("{{.ID 1}}", "ID has arguments but cannot be invoked as function"),
    ],
)
def test_rows_that_cannot_be(template: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TemplateError, match="template parsing error: ") as caught:
        show_rows(template, ROWS, HEADINGS)
    assert words in caught.value.message
    assert capsys.readouterr().out == ""


def test_a_column_is_a_run_of_lines_with_a_tab() -> None:
    assert aligned("a\tb\nno tab\nlonger than ten\tc\td") == "a         b\nno tab\nlonger than ten   c         d"
