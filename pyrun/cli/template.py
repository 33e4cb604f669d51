"""A Go text/template engine, as far as docker's `--format` uses it.

It must not know what is formatted: data are dicts, lists, texts, numbers, callables (methods). Fields, variables,
pipelines, if/else/range/with/define-less blocks, comments and trim markers work; functions are in
`template_functions.py`. Cold. Source: Go text/template and text/template/parse.
"""

from __future__ import annotations

import re
from typing import Any

from pyrun.cli.template_functions import FUNCTIONS, is_true, to_text
from pyrun.errors import InvalidInputError

_ACTION = re.compile(r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|(?!\}\}).)*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>[-+]?\d+(?:\.\d+)?)
    |(?P<variable>\$\w*(?:\.\w+)*)|(?P<field>(?:\.\w+)+|\.)|(?P<word>\w+)|(?P<mark>:=|[|(),=]))""",
    re.VERBOSE,
)


class TemplateError(InvalidInputError):
    """The template cannot be read, or does not fit the data."""


class _Break(Exception):
    """`{{break}}`."""


class _Continue(Exception):
    """`{{continue}}`."""


class Template:
    """A parsed template. Raises: TemplateError."""

    def __init__(self, text: str) -> None:
        self._nodes, _, end = _parse_list(_split(text), 0)
        if end:
            raise TemplateError(f"template parsing error: unexpected {{{{{end}}}}}")

    def render(self, data: Any) -> str:
        """Execute the template on `data`."""
        out: list[str] = []
        _run(self._nodes, data, {"$": data}, out)
        return "".join(out)


def _split(text: str) -> list[tuple[str, str]]:
    """Cut into ("text", …) and ("action", …), with the trim markers applied."""
    pieces: list[tuple[str, str]] = []
    position, trim = 0, False
    for match in _ACTION.finditer(text):
        before = text[position : match.start()]
        before = before.lstrip() if trim else before
        pieces.append(("text", before.rstrip() if match[1] else before))
        if not match[2].startswith("/*"):
            pieces.append(("action", match[2].strip()))
        position, trim = match.end(), bool(match[3])
    rest = text[position:]
    if "{{" in rest:
        raise TemplateError("template parsing error: unclosed action")
    pieces.append(("text", rest.lstrip() if trim else rest))
    return pieces


def _parse_list(pieces: list[tuple[str, str]], index: int, *, inside: bool = False) -> tuple[list[Any], int, str]:
    """Parse up to the end of a block: (nodes, index after it, the action that ended it: "" at the end of text)."""
    nodes: list[Any] = []
    while index < len(pieces):
        kind, body = pieces[index]
        index += 1
        if kind == "text":
            nodes.append(("text", body))
            continue
        word = body.split(None, 1)[0] if body else ""
        if word in ("end", "else"):
            return nodes, index, body
        if word in ("if", "range", "with"):
            node, index = _parse_block(word, body[len(word) :], pieces, index)
            nodes.append(node)
        elif word in ("break", "continue"):
            nodes.append((word,))
        elif not body:
            raise TemplateError("template parsing error: missing value for command")
        else:
            nodes.append(("pipe", _parse_pipe(body)))
    if inside:
        raise TemplateError("template parsing error: unexpected EOF: an {{end}} is missing")
    return nodes, index, ""


def _parse_block(word: str, head: str, pieces: list[tuple[str, str]], index: int) -> tuple[Any, int]:
    body, index, end = _parse_list(pieces, index, inside=True)
    other: list[Any] = []
    if end.startswith("else"):
        condition = end[4:].strip()
        if condition:  # {{else if X}} is {{else}}{{if X}} … with one {{end}}
            again = condition.split(None, 1)[0]
            nested, index = _parse_block(again, condition[len(again) :], pieces, index)
            return (word, _parse_pipe(head), body, [nested]), index
        other, index, end = _parse_list(pieces, index, inside=True)
    return (word, _parse_pipe(head), body, other), index


def _parse_pipe(text: str) -> Any:
    tokens = _tokens(text)
    names: list[str] = []
    declares = ":="
    marks = [position for position, token in enumerate(tokens) if token in (("mark", ":="), ("mark", "="))]
    if marks:
        names = [value for kind, value in tokens[: marks[0]] if kind == "variable"]
        declares = tokens[marks[0]][1]
        tokens = tokens[marks[0] + 1 :]
    commands, rest = _parse_commands(tokens)
    if rest:
        raise TemplateError(f"template parsing error: unexpected {rest[0][1]!r}")
    return names, declares, commands


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateError(f"template parsing error: unexpected {text[position:].strip()[:10]!r} in command")
        # ".A" glued to a closing parenthesis is a field of its value, not an argument of its own
        glued = match.lastgroup == "field" and found and found[-1] == ("mark", ")") and text[position] == "."
        found.append(("chain" if glued else match.lastgroup or "", match[match.lastgroup or 0]))
        position = match.end()
    return found


def _parse_commands(tokens: list[tuple[str, str]]) -> tuple[list[list[Any]], list[tuple[str, str]]]:
    """Parse `a b | c` up to a closing parenthesis: (commands, tokens from there on)."""
    commands: list[list[Any]] = [[]]
    while tokens:
        kind, value = tokens[0]
        if (kind, value) == ("mark", ")"):
            break
        tokens = tokens[1:]
        if (kind, value) == ("mark", "|"):
            commands.append([])
        elif (kind, value) == ("mark", "("):
            inner, tokens = _parse_commands(tokens)
            if not tokens:
                raise TemplateError("template parsing error: unclosed left paren")
            tokens = tokens[1:]
            commands[-1].append(("group", inner))
        elif kind == "chain":
            commands[-1].append(("chain", commands[-1].pop(), value))
        else:
            commands[-1].append((kind, value))
    if not all(commands):
        raise TemplateError("template parsing error: missing value for command")
    return commands, tokens


def _run(nodes: list[Any], dot: Any, scope: dict[str, Any], out: list[str]) -> None:
    for node in nodes:
        if node[0] == "text":
            out.append(node[1])
        elif node[0] == "pipe":
            value = _pipe(node[1], dot, scope)
            if not node[1][0]:
                out.append(to_text(value))
        elif node[0] == "range":
            _range(node, dot, scope, out)
        elif node[0] in ("break", "continue"):
            raise _Break if node[0] == "break" else _Continue
        else:
            inner = dict(scope)
            value = _pipe(node[1], dot, inner)
            if is_true(value):
                _run(node[2], value if node[0] == "with" else dot, inner, out)
            else:
                _run(node[3], dot, inner, out)


def _range(node: Any, dot: Any, scope: dict[str, Any], out: list[str]) -> None:
    names = node[1][0]
    value = _commands(node[1][2], dot, scope)
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = sorted(value.items())
    elif isinstance(value, int) and not isinstance(value, bool):
        items = [(number, number) for number in range(value)]
    elif value is None or isinstance(value, (list, tuple)):
        items = list(enumerate(value or ()))
    else:
        raise TemplateError(f"template: range can't iterate over {to_text(value)}")
    if not items:
        _run(node[3], dot, scope, out)
    for key, item in items:
        inner = dict(scope)
        if names:
            inner[names[-1]] = item
        if len(names) > 1:
            inner[names[0]] = key
        try:
            _run(node[2], item, inner, out)
        except _Break:
            return
        except _Continue:
            continue


def _pipe(pipe: Any, dot: Any, scope: dict[str, Any]) -> Any:
    names, _, commands = pipe
    value = _commands(commands, dot, scope)
    for name in names:
        scope[name] = value
    return value


def _commands(commands: list[list[Any]], dot: Any, scope: dict[str, Any]) -> Any:
    piped: tuple[Any, ...] = ()
    for command in commands:
        piped = (_command(command, piped, dot, scope),)
    return piped[0]


def _command(command: list[Any], piped: tuple[Any, ...], dot: Any, scope: dict[str, Any]) -> Any:
    head = command[0]
    if head[0] == "word" and head[1] in FUNCTIONS:
        if head[1] in ("and", "or"):  # evaluated only as far as needed: since Go 1.18
            value = None
            for operand in [*command[1:], *(("value", item) for item in piped)]:
                value = _operand(operand, dot, scope)
                if is_true(value) == (head[1] == "or"):
                    break
            return value
        arguments = [_operand(operand, dot, scope) for operand in command[1:]]
        try:
            return FUNCTIONS[head[1]](*arguments, *piped)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise TemplateError(f"template: error calling {head[1]}: {error}") from error
    value = _operand(head, dot, scope)
    if callable(value):
        return value(*[_operand(operand, dot, scope) for operand in command[1:]], *piped)
    if len(command) > 1 or piped:
        raise TemplateError(f"template: can't give argument to non-function {head[1]}")
    return value


def _operand(operand: Any, dot: Any, scope: dict[str, Any]) -> Any:
    kind, value = operand[0], operand[1]
    if kind == "value":
        return value
    if kind == "string":
        return value[1:-1] if value[0] == "`" else _unquote(value[1:-1])
    if kind == "number":
        return float(value) if "." in value else int(value)
    if kind == "group":
        return _commands(value, dot, scope)
    if kind == "chain":
        return _field(_operand(value, dot, scope), operand[2])
    if kind == "field":
        return dot if value == "." else _field(dot, value)
    if kind == "variable":
        name, _, path = value.partition(".")
        if name not in scope:
            raise TemplateError(f"template parsing error: undefined variable {name!r}")
        return _field(scope[name], "." + path) if path else scope[name]
    if value in ("true", "false", "nil"):
        return {"true": True, "false": False, "nil": None}[value]
    if value in FUNCTIONS:
        return FUNCTIONS[value]()
    raise TemplateError(f"template parsing error: function {value!r} not defined")


def _field(value: Any, path: str) -> Any:
    for name in path[1:].split("."):
        if value is None and not name[:1].isupper():
            return None
        if not isinstance(value, dict) or (name not in value and name[:1].isupper()):
            raise TemplateError(
                f"template: can't evaluate field {name} in {path}", hint="`--format json` shows what there is"
            )
        value = value.get(name)  # a missing key of a map, as a label, is no error in Go either
    return value


def _unquote(text: str) -> str:
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[0]), text)
