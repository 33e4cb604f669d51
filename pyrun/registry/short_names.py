"""What a name without a registry stands for: an alias's target, Docker Hub's image, or one of the search registries.

It must not know how anything is fetched. Hot: see settings.py.
Source: containers-registries.conf(5) "Short-Name Aliasing".
"""

from __future__ import annotations

from pyrun.errors import InvalidConfigError
from pyrun.oci import reference as references
from pyrun.oci.reference import Reference
from pyrun.registry import settings


def to_fetch(text: str, cache: str = "") -> list[Reference]:
    """List what a name may stand for at registries, in the order in which it is to be looked for.

    An alias decides; else the search registries, where there are some; else it is Docker Hub's, as docker has it.
    Raises: InvalidReferenceError; InvalidConfigError for a bad file, and where a name with several meanings is
    forbidden by short-name-mode.
    """
    normal = references.parse_normalized(text)
    if not references.is_short(text):
        return [normal]
    configured = settings.load(cache)[0]
    aliased = _aliased(text, normal, configured["aliases"])
    if aliased is not None:
        return [aliased]
    found = _searched(text, configured["search"])
    if len(found) > 1 and configured["mode"] == "enforcing":
        raise InvalidConfigError(
            configured["search_file"],
            "/short-name-mode",
            f"{text!r} is ambiguous, and a short name must not be",
            hint=f"write one of {', '.join(reference.string for reference in found)}, or make an alias for it",
        )
    return found or [normal]


def ambiguous(text: str, cache: str = "") -> list[Reference]:
    """List what a short name may stand for where its user is to choose; nothing where one meaning is certain.

    short-name-mode: both enforcing and permissive, the default, ask who is there; disabled never does.
    Raises: as `to_fetch`.
    """
    normal = references.parse_normalized(text)
    if not references.is_short(text):
        return []
    configured = settings.load(cache)[0]
    if configured["mode"] == "disabled" or _aliased(text, normal, configured["aliases"]) is not None:
        return []
    found = _searched(text, configured["search"])
    return found if len(found) > 1 else []


def here(text: str, normal: Reference, cache: str = "") -> list[Reference]:
    """List what a name may stand for in the store, the first that is there counts; ``normal``: docker's reading of it.

    As in podman: an alias's target, then what was named here (`tag` and `commit` give docker's name), then what `pull`
    may have found at the search registries. Raises: InvalidConfigError for a bad file.
    """
    if not references.is_short(text):
        return [normal]
    configured = settings.load(cache)[0]
    aliased = _aliased(text, normal, configured["aliases"])
    found = [aliased] if aliased is not None else []
    return [*found, normal, *(reference for reference in _searched(text, configured["search"]) if reference != normal)]


def _aliased(text: str, normal: Reference, aliases: dict[str, list[str]]) -> Reference | None:
    alias = aliases.get(references.parse(text).name)
    if alias is None:
        return None
    full = references.parse(alias[0])
    return Reference(full.domain, full.path, normal.tag, normal.digest)


def _searched(text: str, search: list[str]) -> list[Reference]:
    return [references.parse_normalized(f"{place}/{text}") for place in search]
