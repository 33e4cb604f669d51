"""A short name that may be at several registries: what there is to choose from, and the choice kept as an alias.

It must not ask: the front end does, where somebody is there to answer. podman keeps the choice in the same file.
Source: containers-registries.conf(5) "Short-Name Aliasing".
"""

from __future__ import annotations

import os

from pyrun.engine import images
from pyrun.registry import short_names
from pyrun.store.layout import registries_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def choices(layout: Layout, text: str, policy: str) -> list[str]:
    """Return the full names that a short one may stand for, if it has to be asked for and is ambiguous; else none.

    Raises: InvalidReferenceError; InvalidConfigError for a bad file.
    """
    found = short_names.ambiguous(text, registries_cache(os.environ))
    if not found or policy == "never" or (policy == "missing" and images.exists(layout, text)):
        return []
    return [reference.string for reference in found]


def keep(text: str, chosen: str) -> None:
    """Remember a choice, once it was pulled. Raises: StoreError; InvalidConfigError for a file that is damaged."""
    from pyrun.oci import reference as references
    from pyrun.registry import recorded_aliases

    recorded_aliases.add(references.parse(text).name, references.parse(chosen).name)
