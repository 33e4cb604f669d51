"""Tokens to nodes. Source: text/template "Actions", "Arguments", "Pipelines", "Variables"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.cli.gotemplate import literals, nodes
from pyrun.cli.gotemplate.errors import TemplateError
from pyrun.cli.gotemplate.lexer import Lexer, Token
from pyrun.cli.gotemplate.values import quote

if TYPE_CHECKING:
    from collections.abc import Container

_OPERANDS = ("bool", "charconst", ".", "field", "identifier", "number", "nil", "raw", "string", "variable", "(")
_PLAIN = (nodes.Constant, nodes.Dot, nodes.Nil)
_LEFT_OUT = ("block", "define", "template")


def parse(text: str, functions: Container[str]) -> list[nodes.Node]:
    """Parse a template that may call `functions`. Raises: TemplateError."""
    return Parser(text, functions).parse()


class Parser:
    """Reads tokens; look-ahead by index."""

    def __init__(self, text: str, functions: Container[str]) -> None:
        self.tokens = Lexer(text).tokens
        self.index = 0
        self.functions = functions
        self.variables = ["$"]
        self.ranges = 0
        self.action_line = 0

    def parse(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        while self._peek().kind != "eof":
            node = self._text_or_action()
            if isinstance(node, nodes.Ending):
                raise self._failure(f"unexpected {node}")
            found.append(node)
        return found

    def _next(self) -> Token:
        self._peek()
        self.index += 1
        return self.last

    def _peek(self) -> Token:
        # The last token, eof or error, is followed by itself.
        self.last = self.tokens[min(self.index, len(self.tokens) - 1)]
        return self.last

    def _skip_space(self) -> Token:
        while self._peek().kind == "space":
            self.index += 1
        return self.last

    def _next_word(self) -> Token:
        self._skip_space()
        return self._next()

    def _failure(self, words: str) -> TemplateError:
        return TemplateError(f"template: :{self.last.line}: {words}")

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind == "error":
            is_elsewhere = self.action_line and self.action_line != token.line
            return self._failure(f"{token}" + (f" in action started at :{self.action_line}" if is_elsewhere else ""))
        return self._failure(f"unexpected {token} in {context}")

    def _text_or_action(self) -> nodes.Node:
        token = self._next_word()
        if token.kind == "text":
            return nodes.Text(token.position, token.value)
        if token.kind == "{{":
            self.action_line = token.line
            node = self._action()
            self.action_line = 0
            return node
        raise self._unexpected(token, "input")

    def _action(self) -> nodes.Node:
        token = self._skip_space()
        if token.kind in ("break", "continue"):
            self._next()
            self._expect_end("{{" + token.kind + "}}")
            if not self.ranges:
                raise self._failure("{{" + token.kind + "}} outside {{range}}")
            return nodes.Jump(token.position, "{{" + token.kind + "}}")
        if token.kind == "end":
            self._next()
            self._expect_end("end")
            return nodes.Ending(token.position, "{{end}}")
        if token.kind == "else":
            self._next()
            if self._skip_space().kind not in ("if", "with"):
                self._expect_end("else")
            return nodes.Ending(token.position, "{{else}}")
        if token.kind in ("if", "range", "with"):
            self._next()
            return self._branch(token.kind)
        if token.kind in _LEFT_OUT:
            raise self._failure("{{" + token.kind + "}} is not supported")
        return nodes.Action(token.position, self._pipeline("command", "}}"))

    def _expect_end(self, context: str) -> None:
        token = self._next_word()
        if token.kind != "}}":
            raise self._unexpected(token, context)

    def _branch(self, word: str) -> nodes.Branch:
        known = len(self.variables)
        position = self._peek().position
        pipe = self._pipeline(word, "}}")
        self.ranges += word == "range"
        body, ending = self._list()
        self.ranges -= word == "range"
        otherwise: list[nodes.Node] | None = None
        if ending.text == "{{else}}":
            if word in ("if", "with") and self._peek().kind == word:
                # {{else if X}} is {{else}}{{if X}} … with one {{end}}.
                self._next()
                otherwise = [self._branch(word)]
            else:
                otherwise, ending = self._list()
                if ending.text != "{{end}}":
                    raise self._failure(f"expected end; found {ending}")
        del self.variables[known:]
        return nodes.Branch(position, word, pipe, body, otherwise)

    def _list(self) -> tuple[list[nodes.Node], nodes.Node]:
        found: list[nodes.Node] = []
        while self._skip_space().kind != "eof":
            node = self._text_or_action()
            if isinstance(node, nodes.Ending):
                return found, node
            found.append(node)
        raise self._failure("unexpected EOF")

    def _pipeline(self, context: str, end: str) -> nodes.Pipe:
        pipe = nodes.Pipe(self._skip_space().position)
        self._declarations(pipe, context)
        while True:
            token = self._next_word()
            if token.kind == end:
                self._check(pipe, context)
                return pipe
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            self.index -= 1
            pipe.commands.append(self._command())

    def _declarations(self, pipe: nodes.Pipe, context: str) -> None:
        while self._skip_space().kind == "variable":
            start = self.index
            name = self._next()
            mark = self._skip_space()
            if mark.kind not in ("=", ":=") and mark.value != ",":
                self.index = start
                return
            self._next()
            pipe.variables.append(nodes.Variable(name.position, name.value))
            self.variables.append(name.value)
            if mark.kind in ("=", ":="):
                pipe.assigns = mark.kind == "="
                return
            if context != "range" or len(pipe.variables) > 1:
                raise self._failure(f"too many declarations in {context}")
            if self._skip_space().kind not in ("variable", "}}", ")"):
                raise self._failure("range can only initialize variables")

    def _check(self, pipe: nodes.Pipe, context: str) -> None:
        if not pipe.commands:
            raise self._failure(f"missing value for {context}")
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.arguments[0], _PLAIN):
                raise self._failure(f"non executable command in pipeline stage {stage}")

    def _command(self) -> nodes.Command:
        command = nodes.Command(self._skip_space().position)
        while True:
            self._skip_space()
            operand = self._operand()
            if operand is not None:
                command.arguments.append(operand)
            token = self._next()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self.index -= 1
            elif token.kind != "|":
                raise self._unexpected(token, "operand")
            break
        if not command.arguments:
            raise self._failure("empty command")
        return command

    def _operand(self) -> nodes.Node | None:
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        position, names = self._peek().position, []
        while self._peek().kind == "field":
            names.append(self._next().value[1:])
        if isinstance(node, nodes.Field | nodes.Variable):
            return type(node)(position, f"{node}." + ".".join(names))
        if isinstance(node, _PLAIN):
            raise self._failure(f"unexpected . after term {quote(str(node))}")
        return nodes.Chain(position, node, names)

    def _term(self) -> nodes.Node | None:
        token = self._next_word()
        kind, value, position = token.kind, token.value, token.position
        if kind == "identifier":
            if value not in self.functions:
                raise self._failure(f"function {quote(value)} not defined")
            return nodes.Identifier(position, value)
        if kind == ".":
            return nodes.Dot(position, ".")
        if kind == "nil":
            return nodes.Nil(position, "nil")
        if kind == "field":
            return nodes.Field(position, value)
        if kind == "variable":
            if value not in self.variables:
                raise self._failure(f"undefined variable {quote(value)}")
            return nodes.Variable(position, value)
        if kind == "(":
            return self._pipeline("parenthesized pipeline", ")")
        if kind in ("bool", "number", "charconst", "string", "raw"):
            try:
                return nodes.Constant(position, value, literals.value(kind, value))
            except ValueError as error:
                raise self._failure(str(error)) from error
        self.index -= 1
        return None
