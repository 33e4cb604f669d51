"""`pyrun ps --format`: a container's fields by docker's names. Cold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import text
from pyrun.cli.formatting import Row, heading_of_label, show_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.ps import Container
    from pyrun.store.layout import Layout

HEADINGS: dict[str, Any] = {
    "Command": "COMMAND", "CreatedAt": "CREATED AT", "ID": "CONTAINER ID", "Image": "IMAGE", "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES", "Mounts": "MOUNTS", "Names": "NAMES", "Networks": "NETWORKS",
    "Platform": "PLATFORM", "Ports": "PORTS", "RunningFor": "CREATED", "Size": "SIZE", "State": "STATE",
    "Status": "STATUS", "Label": heading_of_label,
}  # fmt: skip


_TABLE = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
_RAW = """container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""


def show(found: Sequence[Container], template: str, *, no_trunc: bool, now: int, sizes: Sequence[str] = ()) -> None:
    """Print the containers by a template; ``sizes``: what `sizes` says, for whoever asked for them."""
    if sizes:
        template = {"table": _TABLE + "\t{{.Size}}", "raw": _RAW + "size: {{.Size}}\n"}.get(template, template)
    template = {"table": _TABLE, "raw": _RAW}.get(template, template)
    shown = sizes or ["0B"] * len(found)
    rows = [row(c, no_trunc=no_trunc, now=now, size=size) for c, size in zip(found, shown, strict=True)]
    show_rows(template, rows, HEADINGS)


def sizes_of(layout: Layout, found: Sequence[Container]) -> list[str]:
    """Return docker's words for what each container has written, and for its image with it: "12B (virtual 4.26MB)"."""
    from pyrun.engine.disk_usage import writable_sizes
    from pyrun.engine.images import unpacked_size

    own = writable_sizes(layout, [container.directory for container in found])
    images = {manifest: unpacked_size(layout, manifest) for manifest in {c.record["manifest"] for c in found}}
    words = []
    for container, size in zip(found, own, strict=True):
        whole = size + images[container.record["manifest"]]
        words.append(text.human_size(size) + (f" (virtual {text.human_size(whole)})" if whole else ""))
    return words


def row(container: Container, *, no_trunc: bool, now: int, size: str = "0B") -> Row:
    """Return what a template may name of a container."""
    labels = container.record["labels"]
    return Row(fields(container, no_trunc=no_trunc, now=now, size=size), Label=lambda key: labels.get(key, ""))


def fields(container: Container, *, no_trunc: bool, now: int, size: str) -> dict[str, Any]:
    """Return what templates may name, in the order that `{{json .}}` prints."""
    from pyrun.cli import times

    container_id, image, command, age, status, ports, name = text.container_row(container, no_trunc=no_trunc, now=now)
    record = container.record
    mounts = [name for name in (mount["name"] or mount["source"] for mount in record["mounts"]) if name]
    return {
        "Command": command,
        "CreatedAt": times.shown(container.created),
        "ID": container_id,
        "Image": image,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(record["labels"].items())),
        "LocalVolumes": str(sum(mount["type"] == "volume" for mount in record["mounts"])),
        "Mounts": ",".join(mounts if no_trunc else [text.ellipsis(mount, 15) for mount in mounts]),
        "Names": name,
        "Networks": record["network"] or "private",
        "Platform": record["platform"],
        "Ports": ports,
        "RunningFor": age,
        "Size": size,
        "State": container.state.word,
        "Status": status,
    }
