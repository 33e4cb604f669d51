"""`pyrun volume ls`: docker's list of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, flag, many, text, unsupported
from pyrun.cli.formatting import Row, heading_of_label, show_rows

if TYPE_CHECKING:
    from pyrun.cli.main import Session

HEADINGS: dict[str, Any] = {
    "Availability": "AVAILABILITY", "Driver": "DRIVER", "Group": "GROUP", "Labels": "LABELS", "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT", "Name": "VOLUME NAME", "Scope": "SCOPE", "Size": "SIZE", "Status": "STATUS",
    "Label": heading_of_label,
}  # fmt: skip

_NAMED = {"table": "table {{.Driver}}\t{{.Name}}", "raw": "name: {{.Name}}\ndriver: {{.Driver}}\n"}


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "ls", execute, usage="", summary="List volumes",
        params=[
            many("-f --filter", 'Provide filter values (e.g. "dangling=true")', metavar="filter"),
            text("--format", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE"),
            flag("-q --quiet", "Only display volume names"),
            *unsupported("--cluster", ""),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """List what the filters leave."""
    from pyrun.engine.volumes import list_volumes

    found = list_volumes(session.layout, params["filter"])
    if params["quiet"]:
        print("".join(f"{volume['name']}\n" for volume in found), end="")
        return 0
    template = params["format"] or "table"
    show_rows(_NAMED.get(template, template), [row(volume) for volume in found], HEADINGS)
    return 0


def row(volume: dict[str, Any], *, links: str = "N/A", size: str = "N/A") -> Row:
    """Return what a template may name; docker knows links and size in `system df` only."""
    labels = volume["labels"]
    fields = {
        "Availability": "N/A", "Driver": "local", "Group": "N/A",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())), "Links": links,
        "Mountpoint": volume["mountpoint"], "Name": volume["name"], "Scope": "local", "Size": size, "Status": "N/A",
    }  # fmt: skip
    return Row(fields, Label=lambda key: labels.get(key, ""))
