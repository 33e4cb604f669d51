"""Verbs over several names: one after another, a failure of one does not stop the others, as docker. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from pyrun.errors import PyrunError


def for_each(
    names: Iterable[str],
    act: Callable[[str], Any],
    *,
    prints_result: bool = False,
    forgiven: type[PyrunError] | None = None,
) -> int:
    """Act on each name and print it (or the result); report failures as they come. Return the exit code.

    ``forgiven``: a failure that is told and does not count.

    Raises: what `act` raised, if there was but one name: then the front end's one printer shows it.
    """
    from pyrun.errors import PyrunError

    names = list(names)
    code = 0
    for name in names:
        try:
            result = act(name)
        except PyrunError as error:
            is_forgiven = forgiven is not None and isinstance(error, forgiven)
            if len(names) == 1 and not is_forgiven:
                raise
            from pyrun.cli.errors import report

            failed = report(error, verb="", debug=False)
            code = code if is_forgiven else failed
        else:
            print(result if prints_result else name, flush=True)
    return code
