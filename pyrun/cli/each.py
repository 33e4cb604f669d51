"""Verbs over several names: one after another, a failure of one does not stop the others, as docker. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def for_each(names: Iterable[str], act: Callable[[str], Any], *, prints_result: bool = False) -> int:
    """Act on each name and print it (or the result); report failures as they come. Return the exit code.

    Raises: what `act` raised, if there was but one name: then the front end's one printer shows it.
    """
    from pyrun.errors import PyrunError

    names = list(names)
    code = 0
    for name in names:
        try:
            result = act(name)
        except PyrunError as error:
            if len(names) == 1:
                raise
            from pyrun.cli.errors import report

            code = report(error, verb="", debug=False)
        else:
            print(result if prints_result else name, flush=True)
    return code
