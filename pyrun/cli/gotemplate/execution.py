"""Walks a parsed template over data. Source: text/template "Actions", "Arguments", "Variables"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.gotemplate import nodes
from pyrun.cli.gotemplate.errors import CallError, TemplateError
from pyrun.cli.gotemplate.values import MISSING, Struct, is_nil, is_true, quote, show, to_text, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pyrun.cli.gotemplate.functions import Function

_ABSENT = object()  # no value was piped in


class _BreakError(Exception):
    """`{{break}}`"""


class _ContinueError(Exception):
    """`{{continue}}`"""


class Execution:
    """One run. `strict`: a missing key of a map is an error (Go's missingkey=error). `shown`: writes values."""

    def __init__(
        self, text: str, functions: Mapping[str, Function], *, strict: bool = False, shown: Callable[[str], str] = str
    ) -> None:
        self.text = text
        self.functions = functions
        self.strict = strict
        self.shown = shown
        self.scope: list[tuple[str, Any]] = []
        self.elements: list[Any] = []  # of the ranges that are being walked
        self.out: list[str] = []
        self.at: nodes.Node | None = None

    def run(self, parsed: Sequence[nodes.Node], data: Any) -> str:
        self.scope = [("$", data)]
        self._walk_all(parsed, data)
        return "".join(self.out)

    def failure(self, words: str) -> TemplateError:
        """Return Go's sentence about the node that is at work."""
        assert self.at is not None
        before = self.text[: self.at.position]
        line = 1 + before.count("\n")
        column = len(before[before.rfind("\n") + 1 :].encode())
        return TemplateError(f'template: :{line}:{column}: executing "" at <{self.at}>: {words}')

    def _walk_all(self, parsed: Sequence[nodes.Node], dot: Any) -> None:
        for node in parsed:
            self._walk(node, dot)

    def _walk(self, node: nodes.Node, dot: Any) -> None:
        self.at = node
        if isinstance(node, nodes.Text):
            self.out.append(node.text)
        elif isinstance(node, nodes.Action):
            value = self._pipeline(node.pipe, dot)
            if not node.pipe.variables:
                self.at = node
                if callable(value):
                    raise self.failure(f"can't print {node} of type {type_name(value)}")
                self.out.append(self.shown(to_text(value)))
        elif isinstance(node, nodes.Jump):
            raise _BreakError if node.text == "{{break}}" else _ContinueError
        elif isinstance(node, nodes.Branch):
            known = len(self.scope)
            (self._range if node.word == "range" else self._if_or_with)(node, dot)
            del self.scope[known:]

    def _if_or_with(self, node: nodes.Branch, dot: Any) -> None:
        value = self._pipeline(node.pipe, dot)
        if is_true(value):
            self._walk_all(node.body, value if node.word == "with" else dot)
        elif node.otherwise is not None:
            self._walk_all(node.otherwise, dot)

    def _range(self, node: nodes.Branch, dot: Any) -> None:
        value = self._pipeline(node.pipe, dot)
        items = self._items(node, value)
        known, is_empty = len(self.scope), True
        for index, item in items:
            is_empty = False
            names = [variable.names[0] for variable in node.pipe.variables]
            for name, part in zip(names, (index, item) if len(names) > 1 else (item,), strict=False):
                if node.pipe.assigns:
                    self._assign(name, part)
                else:
                    self.scope.append((name, part))
            self.elements.append(item)
            try:
                self._walk_all(node.body, item)
            except _BreakError:
                break
            except _ContinueError:
                pass
            finally:
                self.elements.pop()
                del self.scope[known:]
        if is_empty and node.otherwise is not None:
            self._walk_all(node.otherwise, dot)

    def _items(self, node: nodes.Branch, value: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(value, dict) and not isinstance(value, Struct):
            return sorted(value.items())
        if isinstance(value, list | tuple):
            return enumerate(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if len(node.pipe.variables) > 1:
                raise self.failure(f"can't use {value} to iterate over more than one variable")
            return enumerate(range(value))
        if value is None or value is MISSING:
            return []
        raise self.failure(f"range can't iterate over {show(value)}")

    def _assign(self, name: str, value: Any) -> None:
        for place in range(len(self.scope) - 1, -1, -1):
            if self.scope[place][0] == name:
                self.scope[place] = (name, value)
                return
        raise self.failure(f"undefined variable: {name}")

    def _pipeline(self, pipe: nodes.Pipe, dot: Any) -> Any:
        self.at = pipe
        value: Any = _ABSENT
        for command in pipe.commands:
            value = self._command(command, dot, value)
        for variable in pipe.variables:
            if pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self.scope.append((variable.names[0], value))
        return value

    def _command(self, command: nodes.Command, dot: Any, piped: Any) -> Any:
        first, given = command.arguments[0], command.arguments[1:]
        if isinstance(first, nodes.Identifier):
            self.at = first
            return self._call(first.text, self.functions[first.text], command, given, dot, piped)
        if isinstance(first, nodes.Field | nodes.Chain | nodes.Variable):
            return self._fields(first, dot, given, piped)
        if not isinstance(first, nodes.Pipe):
            self.at = first
        if given or piped is not _ABSENT:
            raise self.failure(f"can't give argument to non-function {first}")
        if isinstance(first, nodes.Nil):
            raise self.failure("nil is not a command")
        return self._operand(first, dot)

    def _operand(self, node: nodes.Node, dot: Any) -> Any:
        """Evaluate one argument."""
        if isinstance(node, nodes.Constant):
            return node.value
        if isinstance(node, nodes.Dot):
            return dot
        if isinstance(node, nodes.Nil):
            return None
        if isinstance(node, nodes.Pipe):
            return self._pipeline(node, dot)
        if isinstance(node, nodes.Identifier):
            self.at = node
            return self._call(node.text, self.functions[node.text], node, [], dot, _ABSENT)
        return self._fields(node, dot, [], _ABSENT)

    def _fields(self, node: nodes.Node, dot: Any, given: list[nodes.Node], piped: Any) -> Any:
        """Evaluate `.A.B`, `$x.A` or `(…).A`; arguments are for a method at its end."""
        self.at = node
        names: list[str]
        if isinstance(node, nodes.Variable):
            value = self._held(node.names[0])
            names = node.names[1:]
            if not names and (given or piped is not _ABSENT):
                raise self.failure(f"can't give argument to non-function {node}")
        elif isinstance(node, nodes.Chain):
            value, names = self._chained(node, dot), node.names
        else:
            assert isinstance(node, nodes.Field)
            value, names = dot, node.names
        for place, name in enumerate(names):
            arguments = (given, piped) if place == len(names) - 1 else ([], _ABSENT)
            # What an untyped document's maps and lists hold is an interface to Go, even where it holds a text.
            is_held = place or any(value is item for item in self.elements)
            shown = "interface {}" if self.strict and is_held else type_name(value)
            value = self._field(value, shown, name, node, arguments, dot)
        return value

    def _held(self, name: str) -> Any:
        for known, value in reversed(self.scope):
            if known == name:
                return value
        raise self.failure(f"undefined variable: {name}")

    def _chained(self, node: nodes.Chain, dot: Any) -> Any:
        if isinstance(node.node, nodes.Nil):
            raise self.failure(f"indirection through explicit nil in {node}")
        return self._operand(node.node, dot)

    def _field(
        self, value: Any, shown: str, name: str, node: nodes.Node, arguments: tuple[list[nodes.Node], Any], dot: Any
    ) -> Any:
        """Look up one field of `value`, whose type errors call `shown`."""
        given, piped = arguments
        has_arguments = bool(given) or piped is not _ABSENT
        if value is MISSING:
            if self.strict:
                raise self.failure(f"nil data; no entry for key {quote(name)}")
            return MISSING
        if isinstance(value, dict):
            is_struct = isinstance(value, Struct)
            found = value.field(name) if isinstance(value, Struct) else value.get(name, MISSING)
            if callable(found):
                return self._method(name, found, node, given, piped, dot)
            if has_arguments and (found is not MISSING or not is_struct):
                is_what = "has arguments but cannot be invoked as function", "is not a method but has arguments"
                raise self.failure(f"{name} {is_what[not is_struct]}")
            if found is not MISSING or not (is_struct or self.strict):
                return found
            if self.strict:
                raise self.failure(f"map has no entry for key {quote(name)}")
        if is_nil(value):
            raise self.failure(f"nil pointer evaluating {shown}.{name}")
        raise self.failure(f"can't evaluate field {name} in type {shown}")

    def _method(self, name: str, method: Any, node: nodes.Node, given: list[nodes.Node], piped: Any, dot: Any) -> Any:
        """Call a method; all that docker's rows have take texts."""
        from pyrun.cli.gotemplate.functions import Function

        return self._call(name, Function(method, (str,)), node, given, dot, piped)

    def _call(
        self, name: str, function: Function, node: nodes.Node, given: list[nodes.Node], dot: Any, piped: Any
    ) -> Any:
        count = len(given) + (piped is not _ABSENT)
        least = len(function.parameters)
        if function.rest is None and count != least:
            raise self.failure(f"wrong number of args for {name}: want {least} got {count}")
        if count < least:
            raise self.failure(f"wrong number of args for {name}: want at least {least} got {count}")
        if name in ("and", "or"):
            return self._and_or(name, given, dot, piped)
        kinds = [*function.parameters, *[function.rest or object] * (count - least)]
        values = [self._argument(part, kind, dot) for part, kind in zip(given, kinds, strict=False)]
        if piped is not _ABSENT:
            values.append(self._checked(piped, kinds[-1]))
        try:
            return function.call(*values)
        except CallError as error:
            self.at = node
            raise self.failure(f"error calling {name}: {error}") from error

    def _and_or(self, name: str, given: list[nodes.Node], dot: Any, piped: Any) -> Any:
        # Evaluated only as far as needed, since Go 1.18.
        value: Any = None
        for part in given:
            value = self._operand(part, dot)
            if is_true(value) == (name == "or"):
                return value
        return value if piped is _ABSENT else piped

    def _argument(self, node: nodes.Node, kind: type, dot: Any) -> Any:
        self.at = node
        if isinstance(node, nodes.Constant):
            if kind is not object and type(node.value) is not kind:
                raise self.failure(f"expected {'integer' if kind is int else _NAMES[kind]}; found {node}")
            return node.value
        if isinstance(node, nodes.Nil) and kind is not object:
            raise self.failure(f"cannot assign nil to {_NAMES[kind]}")
        value = self._operand(node, dot)
        if value is None and kind is not object and isinstance(node, nodes.Field):
            raise self.failure(f"wrong type for value; expected {_NAMES[kind]}; got interface {{}}")
        return self._checked(value, kind)

    def _checked(self, value: Any, kind: type) -> Any:
        if kind is object:
            return value
        if value is None or value is MISSING:
            raise self.failure(f"invalid value; expected {_NAMES[kind]}")
        if type(value) is not kind:
            raise self.failure(f"wrong type for value; expected {_NAMES[kind]}; got {type_name(value)}")
        return value


_NAMES: dict[type, str] = {str: "string", int: "int", bool: "bool"}
