"""`pyrun info`: what this machine allows, what is used instead of what is missing, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, text

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "info", execute, usage="", summary="Display system-wide information",
        params=[
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print the rows and the features."""
    from pyrun.engine.info import info

    found = info(session.layout)
    if params["format"]:
        from pyrun.cli.formatting import show_document

        return show_document(params["format"], found.as_dict())
    for name, value in found.rows:
        print(f"{name}: {value}")
    for heading, lines in found.registries.lists:
        print(f"{heading}:", *lines, sep="\n ")
    print("Versions:", ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    print("Features:")
    for feature in found.features:
        print(f" {feature.name}: {'yes' if feature.ok else 'no'}" + (f" ({feature.detail})" if feature.detail else ""))
        if not feature.ok:
            if feature.instead:
                print(f"  instead: {feature.instead}")
            if feature.remedy:
                print(f"  to mend: {feature.remedy}")
    return 0
