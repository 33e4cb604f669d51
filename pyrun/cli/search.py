"""`pyrun search`: docker's list of what a registry has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, cert_dir, flag, integer, many, text, tls_verify
from pyrun.cli.formatting import Row, show_rows
from pyrun.cli.registry_options import creds_option
from pyrun.cli.text import ellipsis
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session
    from pyrun.engine.search import Repository

HEADINGS = {
    "Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED", "Index": "INDEX",
}  # fmt: skip
_TABLE = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"
_PLAIN_TABLE = "table {{.Name}}\t{{.Description}}"  # podman's
_WIDTH = 45  # docker/cli formatter/search.go


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "search", execute, usage="TERM", summary="Search Docker Hub, or another registry, for images",
        params=[
            text("--authfile", "Use the credentials of this file"),
            flag("--compatible", "List stars and what is official, as docker; =false does not", default=True),
            many("-f --filter", "Filter output based on conditions provided", metavar="filter"),
            text("--format", "Pretty-print search using a Go template"),
            integer("--limit", "Max number of search results"),
            flag("--list-tags", "List the tags of a repository instead"),
            flag("--no-trunc", "Don't truncate output"),
            creds_option(),
            cert_dir(),
            tls_verify(),
            argument("term"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Search, then print what was found."""
    from pyrun.engine.search import Search

    search = Search(
        limit=params["limit"], filters=params["filter"], authfile=params["authfile"] or "",
        creds=params["creds"] or "", tls_verify=params["tls_verify"], cert_dir=params["cert_dir"] or "",
    )  # fmt: skip
    if params["list_tags"]:
        if params["filter"]:
            raise InvalidInputError("conflicting options: --list-tags and --filter")
        name, tags = search.tags(params["term"])
        rows = [Row({"Name": name, "Tag": tag}) for tag in tags]
        show_rows(params["format"] or "table {{.Name}}\t{{.Tag}}", rows, {"Name": "NAME", "Tag": "TAG"})
        return 0
    found = search.repositories(params["term"])
    table = _TABLE if params["compatible"] else _PLAIN_TABLE
    template = params["format"] or table
    # docker/cli formatter/search.go: a yes is a mark for people, a word in JSON.
    marks = ("true", "false") if template == "json" or "json ." in template else ("[OK]", "")
    shown = [_row(repository, marks, None if params["no_trunc"] else _WIDTH) for repository in found]
    show_rows(table if template == "table" else template, shown, HEADINGS)
    for failure in search.failures:
        print(f"pyrun: cannot search {failure}", file=sys.stderr)
    return 0


def _row(found: Repository, marks: tuple[str, str], width: int | None) -> Row:
    description = "".join(character if character.isprintable() else " " for character in found.description)
    fields = {
        "Description": description if width is None else ellipsis(description, width),
        "IsAutomated": marks[not found.is_automated], "IsOfficial": marks[not found.is_official],
        "Name": found.name, "StarCount": str(found.stars),
    }  # fmt: skip
    return Row(fields, Index=found.index)
