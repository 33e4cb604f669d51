"""The parts of a parsed template. `str(node)` is how Go's errors show it; `position` is an offset into the text."""

from __future__ import annotations

from typing import Any


class Node:
    """A part; `text` is how it is shown."""

    __slots__ = ("position", "text")

    def __init__(self, position: int, text: str = "") -> None:
        self.position = position
        self.text = text

    def __str__(self) -> str:
        return self.text


class Text(Node):
    """Text outside actions."""


class Dot(Node):
    """`.`"""


class Nil(Node):
    """`nil`"""


class Constant(Node):
    """A string, bool or number; `is_literal` number: text that is one."""

    __slots__ = ("value",)

    def __init__(self, position: int, text: str, value: Any) -> None:
        super().__init__(position, text)
        self.value = value


class Identifier(Node):
    """The name of a function."""


class Field(Node):
    """`.A.B`"""

    __slots__ = ("names",)

    def __init__(self, position: int, text: str) -> None:
        super().__init__(position, text)
        self.names = text[1:].split(".")


class Variable(Node):
    """`$x.A.B`; `names` begins with the variable's own."""

    __slots__ = ("names",)

    def __init__(self, position: int, text: str) -> None:
        super().__init__(position, text)
        self.names = text.split(".")


class Chain(Node):
    """`(…).A.B`"""

    __slots__ = ("names", "node")

    def __init__(self, position: int, node: Node, names: list[str]) -> None:
        shown = f"({node})" if isinstance(node, Pipe) else str(node)
        super().__init__(position, shown + "".join(f".{name}" for name in names))
        self.node = node
        self.names = names


class Command(Node):
    """One stage of a pipeline: a function or value, and its arguments."""

    __slots__ = ("arguments",)

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.arguments: list[Node] = []

    def __str__(self) -> str:
        return " ".join(f"({node})" if isinstance(node, Pipe) else str(node) for node in self.arguments)


class Pipe(Node):
    """`$x, $y := a | b`"""

    __slots__ = ("assigns", "commands", "variables")

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.variables: list[Variable] = []
        self.assigns = False
        self.commands: list[Command] = []

    def __str__(self) -> str:
        declared = ", ".join(map(str, self.variables)) + (" = " if self.assigns else " := ") if self.variables else ""
        return declared + " | ".join(map(str, self.commands))


class Action(Node):
    """`{{pipe}}`"""

    __slots__ = ("pipe",)

    def __init__(self, position: int, pipe: Pipe) -> None:
        super().__init__(position, "{{" + str(pipe) + "}}")
        self.pipe = pipe


class Branch(Node):
    """`{{if}}`, `{{with}}` or `{{range}}`, by `word`."""

    __slots__ = ("body", "otherwise", "pipe", "word")

    def __init__(self, position: int, word: str, pipe: Pipe, body: list[Node], otherwise: list[Node] | None) -> None:
        super().__init__(position)
        self.word = word
        self.pipe = pipe
        self.body = body
        self.otherwise = otherwise


class Jump(Node):
    """`{{break}}` or `{{continue}}`."""


class Ending(Node):
    """`{{end}}` or `{{else}}`: only while parsing."""
