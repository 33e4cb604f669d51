"""`pyrun system df`: what images, containers and volumes take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import images, ps_format, volume_ls
from pyrun.cli import text as units
from pyrun.cli.definitions import Verb, flag, text
from pyrun.cli.formatting import Row, show_rows
from pyrun.cli.gotemplate import Template
from pyrun.cli.gotemplate.values import Struct

if TYPE_CHECKING:
    from pyrun.cli.main import Session
    from pyrun.engine.system_df import DiskUsage, Total

_HEADINGS = {
    "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
}  # fmt: skip
_TABLE = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
_RAW = "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n"
_IMAGES = (
    "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}"
    "\t{{.Containers}}"
)
_CONTAINERS = (
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"
)
_VOLUMES = "table {{.Name}}\t{{.Links}}\t{{.Size}}"
_CACHE = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}"
_CACHE_HEADINGS = {
    "ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED", "UsageCount": "USAGE", "Shared": "SHARED",
}  # fmt: skip
_PLACES = "table {{.Path}}\t{{.Size}}\t{{.Reason}}"
_PLACES_HEADINGS = {"Path": "PATH", "Reason": "WHAT IT IS", "Size": "SIZE"}


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "df", execute, usage="", summary="Show disk usage",
        params=[
            text("--format", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE"),
            flag("-v --verbose", "Show detailed information on space usage"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Measure and print."""
    from pyrun.engine.system_df import system_df

    usage = system_df(session.layout)
    template = params["format"] or "table"
    if not params["verbose"]:
        shown = {"table": _TABLE, "raw": _RAW}.get(template, template)
        show_rows(shown, [_total(total) for total in usage.totals], _HEADINGS)
    elif template == "table":
        _show_tables(usage)
    else:
        of_images, of_containers, of_volumes = _rows(usage, no_trunc=True)
        parts = {
            "Images": of_images, "Containers": of_containers, "Volumes": of_volumes, "BuildCache": [],
            "Store": _places(usage),
        }  # fmt: skip
        print(Template("{{json .}}" if template == "json" else template).render(Struct(parts)))
    return 0


def _total(total: Total) -> Row:
    reclaimable = units.human_size(total.reclaimable, 4)
    if total.size:
        reclaimable += f" ({total.reclaimable * 100 // total.size}%)"
    return Row({
        "Active": str(total.active), "Reclaimable": reclaimable, "Size": units.human_size(total.size, 4),
        "TotalCount": str(total.number), "Type": total.kind,
    })  # fmt: skip


def _show_tables(usage: DiskUsage) -> None:
    of_images, of_containers, of_volumes = _rows(usage, no_trunc=False)
    print("Images space usage:\n")
    show_rows(_IMAGES, of_images, images.HEADINGS)
    print("\nContainers space usage:\n")
    show_rows(_CONTAINERS, of_containers, ps_format.HEADINGS)
    print("\nLocal Volumes space usage:\n")
    show_rows(_VOLUMES, of_volumes, volume_ls.HEADINGS)
    print("\nBuild cache usage: 0B\n")
    show_rows(_CACHE, [], _CACHE_HEADINGS)
    print("\nOther space of the store:\n")
    show_rows(_PLACES, _places(usage), _PLACES_HEADINGS)


def _places(usage: DiskUsage) -> list[Row]:
    """Return what takes room, and what is left over even if it takes none."""
    return [
        Row({"Path": place.path, "Reason": place.why, "Size": units.human_size(place.size, 4)})
        for place in usage.places
        if place.size or place.is_left
    ]


def _rows(usage: DiskUsage, *, no_trunc: bool) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the lines; docker writes sizes with three digits where its lists do, with four elsewhere."""
    now = units.now()
    size = units.human_size
    of_images = [
        Row(images.fields(item.image, item.image.digest, no_trunc=no_trunc, now=now) | {
            "Containers": str(item.containers), "Size": size(item.size), "SharedSize": size(item.shared, 4),
            "UniqueSize": size(item.size - item.shared, 4), "VirtualSize": size(item.size, 4),
        })
        for item in usage.images
    ]  # fmt: skip
    of_containers = [
        ps_format.row(container, no_trunc=no_trunc, now=now, size=size(bytes_))
        for container, bytes_ in usage.containers
    ]
    of_volumes = [volume_ls.row(v.volume, links=str(v.links), size=size(v.size, 4)) for v in usage.volumes]
    return of_images, of_containers, of_volumes
