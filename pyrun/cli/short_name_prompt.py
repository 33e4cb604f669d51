"""Asks which registry a short name is of, where somebody is there to answer; podman's question. Cold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pyrun.engine import short_name_choice
from pyrun.errors import InvalidInputError, PyrunError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def ask(session: Session, text: str, policy: str) -> str:
    """Return the full name that was chosen, or the text itself where there is nothing to choose."""
    names = short_name_choice.choices(session.layout, text, policy)
    if not names:
        return text
    lines = [f"  {number}) {name}" for number, name in enumerate(names, 1)]
    print(f"{text} may be at several registries:", *lines, sep="\n", file=sys.stderr)
    while True:
        print(f"Which one [1-{len(names)}]? ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        word = answer.strip()
        if not word:
            raise InvalidInputError(f"no registry was chosen: {text}", hint=f"write one of {', '.join(names)}")
        if word.isdecimal() and 1 <= int(word) <= len(names):
            return names[int(word) - 1]


def keep(text: str, chosen: str) -> None:
    """Remember the choice; that it cannot be is no failure of the pull."""
    if chosen == text:
        return
    try:
        short_name_choice.keep(text, chosen)
    except PyrunError as error:
        print(f"WARNING: {error}", file=sys.stderr, flush=True)
