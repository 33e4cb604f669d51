"""Verbs over several names: a failure of one does not stop the others, as docker. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from pyrun.engine.together import Outcome
    from pyrun.errors import PyrunError


def for_each(
    names: Sequence[str],
    act: Callable[[str], Any],
    *,
    prints_result: bool = False,
) -> int:
    """Act on each name in turn; print and return as `show` does."""
    return show(_each(names, act), len(names), prints_result=prints_result)


def show(
    outcomes: Iterable[Outcome],
    count: int,
    *,
    prints_result: bool = False,
    forgiven: type[PyrunError] | None = None,
) -> int:
    """Print each name (or the result) as it comes, and report failures. Return the exit code.

    ``forgiven``: a failure that is told and does not count.

    Raises: the failure, if there is but one name: then the front end's one printer shows it.
    """
    code = 0
    for name, result, error in outcomes:
        if error is None:
            print(result if prints_result else name, flush=True)
            continue
        is_forgiven = forgiven is not None and isinstance(error, forgiven)
        if count == 1 and not is_forgiven:
            raise error
        from pyrun.cli.errors import report

        failed = report(error, verb="", debug=False)
        code = code if is_forgiven else failed
    return code


def _each(names: Iterable[str], act: Callable[[str], Any]) -> Iterator[Outcome]:
    from pyrun.errors import PyrunError

    for name in names:
        try:
            yield name, act(name), None
        except PyrunError as error:
            yield name, None, error
