"""The grammar of docker's command line (Go's pflag), and the parser that hot verbs use instead of click's.

It must not know any verb: options come as rows of `cli/table.py`, which is generated from the click definitions.
`scan` is the one implementation of the grammar; click's commands use it too (`cli/definitions.py`), so that the
two ways cannot disagree about a token. HOT: imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Token = tuple[str, Any]

# Kinds of option: what a token means and what its value becomes.
FLAG = "flag"  # bool; `--x`, `--x=true|false`
TEXT = "text"  # str; the last one wins
INTEGER = "integer"  # int; the last one wins
MANY = "many"  # tuple of str, in order
OPTIONAL = "optional"  # `--x` is "true", `--x=word` is the word; never takes the next argument

_TRUE = ("1", "t", "T", "true", "TRUE", "True")  # Go: strconv.ParseBool
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class FlagError(Exception):
    """An argument breaks the grammar; the text is pflag's."""


def scan(
    options: Mapping[str, tuple[str, str]], argv: Sequence[str], *, interspersed: bool
) -> tuple[list[Token], list[str]]:
    """Split `argv` into (destination, value) pairs, in order, and positional arguments.

    `options` maps `--name` and `-n` to (destination, kind). Without `interspersed` everything from the first
    positional argument on is positional, as in `docker run`.

    Raises: FlagError with pflag's own words.
    """
    found: list[Token] = []
    positional: list[str] = []
    index = 0
    count = len(argv)
    while index < count:
        arg = argv[index]
        index += 1
        if len(arg) < 2 or arg[0] != "-":
            positional.append(arg)
            if not interspersed:
                break
        elif arg == "--":
            break
        elif arg[1] == "-":
            index = _long(options, arg, argv, index, found)
        else:
            index = _shorts(options, arg, argv, index, found)
    positional.extend(argv[index:])
    return found, positional


def _long(options: Mapping[str, tuple[str, str]], arg: str, argv: Sequence[str], index: int, found: list[Token]) -> int:
    name, equals, value = arg.partition("=")
    if len(name) == 2 or name[2] == "-":
        raise FlagError(f"bad flag syntax: {arg}")
    known = options.get(name)
    if known is None:
        raise FlagError(f"unknown flag: {name}")
    if not equals:
        if known[1] in (FLAG, OPTIONAL):
            value = "true"
        elif index < len(argv):
            value = argv[index]
            index += 1
        else:
            raise FlagError(f"flag needs an argument: {name}")
    found.append((known[0], _converted(options, known[1], value, name)))
    return index


def _shorts(
    options: Mapping[str, tuple[str, str]], arg: str, argv: Sequence[str], index: int, found: list[Token]
) -> int:
    """Read a cluster: `-it`, `-eA=1`, `-e A=1`, `-d=false`."""
    position = 1
    while position < len(arg):
        letter = arg[position]
        known = options.get("-" + letter)
        if known is None:
            raise FlagError(f"unknown shorthand flag: {letter!r} in -{arg[position:]}")
        rest = arg[position + 1 :]
        position += 1
        if len(rest) > 1 and rest[0] == "=":
            value, position = rest[1:], len(arg)
        elif known[1] in (FLAG, OPTIONAL):
            value = "true"
        elif rest:
            value, position = rest, len(arg)
        elif index < len(argv):
            value = argv[index]
            index += 1
        else:
            raise FlagError(f"flag needs an argument: {letter!r} in -{letter}")
        found.append((known[0], _converted(options, known[1], value, "-" + letter)))
    return index


def _converted(options: Mapping[str, tuple[str, str]], kind: str, value: str, name: str) -> Any:
    """Turn an option's text into its value. Raises: FlagError in the words of pflag and strconv."""
    try:
        return convert(kind, value)
    except ValueError as error:
        raise FlagError(f'invalid argument "{value}" for "{_full_name(options, name)}" flag: {error}') from None


def _full_name(options: Mapping[str, tuple[str, str]], name: str) -> str:
    """Return `-t, --timeout` for either; an alias, which stands before the name, has no short form."""
    same = [spelling for spelling, row in options.items() if row[0] == options[name][0]]
    return f"{same[0]}, {same[-1]}" if len(same[0]) == 2 < len(same[-1]) and name in (same[0], same[-1]) else name


def convert(kind: str, value: str) -> Any:
    """Turn an option's text into its value: bool, int or the text itself. Raises: ValueError in strconv's words."""
    if kind == FLAG:
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise ValueError(f'strconv.ParseBool: parsing "{value}": invalid syntax')
    if kind == INTEGER:
        digits = value[1:] if value[:1] in ("-", "+") else value
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        if len(digits) > 4000 or not -(1 << 63) <= int(value) < 1 << 63:
            raise ValueError(f'strconv.ParseInt: parsing "{value}": value out of range')
        return int(value)
    return value


def parse(row: Mapping[str, Any], argv: Sequence[str]) -> dict[str, Any] | None:
    """Parse the arguments of one verb by its row of the table; None means: let click look at it."""
    try:
        found, positional = scan(row["options"], argv, interspersed=row["interspersed"])
    except FlagError:
        return None
    params = dict(row["defaults"])
    for name, value in found:
        before = params[name]
        params[name] = (*before, value) if before.__class__ is tuple else value
    index = 0
    for name, required, takes_rest in row["arguments"]:
        if takes_rest:
            params[name] = tuple(positional[index:])
            if required and index >= len(positional):
                return None
            index = len(positional)
        elif index < len(positional):
            params[name] = positional[index]
            index += 1
        elif required:
            return None
    return params if index >= len(positional) else None
