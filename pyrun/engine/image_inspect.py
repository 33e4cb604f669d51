"""The verb image inspect: an image in the shape of docker's JSON.

It must not know how it is printed. Manifest and config are read again from their blobs and verified. HOT.
"""

from __future__ import annotations

from pyrun.engine.history import last_tag_time
from pyrun.engine.instant import ZERO
from pyrun.images import resolve
from pyrun.layers import lowerdir
from pyrun.oci import json
from pyrun.oci import reference as references
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout


def image_inspect(layout: Layout, text: str, *, form: str = "full", platform: str | None = None) -> dict[str, Any]:
    """Return what ``docker image inspect`` says of an image, and under ``Pyrun`` what docker has no word for.

    ``platform``: the image for that, if it is here, unpacked or not.
    Raises: ImageNotFoundError; StoreCorruptError if a blob is missing or damaged; NoMatchingPlatformError.
    """
    found = index.entries(layout)
    entry = resolve.find_in(found, text)
    record = resolve.load_record(layout, entry["digest"])
    is_unpacked = True
    if platform:
        from pyrun.engine import other_platform

        own, record = record, other_platform.record_for(layout, entry, record, text, platform)
        is_unpacked = record is own or resolve.has_layers(layout, record, form)
    config = json.loads(resolve.read_config(layout, text, entry, record))
    same = [other for other in found if other["digest"] == entry["digest"]]
    digests = [item for other in same for item in index.notes_of(other).get(index.REPO_DIGESTS, "").split()]
    diff_ids = [layer["diff_id"] for layer in record["layers"]]
    lower = lowerdir.lowerdirs(layout, diff_ids, form) if is_unpacked else []
    return {
        "Id": record["image_id"],
        "RepoTags": sorted(_familiar(index.ref_name(other)) for other in same if index.ref_name(other)),
        "RepoDigests": sorted({_familiar(item) for item in digests}),
        "Parent": "",
        "Comment": next((step["comment"] for step in reversed(config.get("history") or []) if step.get("comment")), ""),
        "Created": record["created"],
        "DockerVersion": config.get("docker_version", ""),
        "Author": config.get("author", ""),
        "Config": _config(config.get("config") or {}),
        "Architecture": record["architecture"],
        **({"Variant": record["variant"]} if record["variant"] else {}),
        "Os": record["os"],
        "Size": record["unpacked_size"],
        "GraphDriver": {
            "Name": "overlay",
            "Data": _graph_data(lower),
        },
        "RootFS": {"Type": "layers", "Layers": diff_ids},
        "Metadata": {"LastTagTime": last_tag_time(layout, entry["digest"]) or ZERO},
        "Pyrun": {
            "Manifest": record["manifest"],
            "Platform": record["platform"],
            "CompressedSize": record["size"],
            "Layers": record["layers"],
        },
    }


def _graph_data(lower: list[str]) -> dict[str, str]:
    """docker: the highest layer is the upper one; a single layer has none below."""
    if not lower:
        return {}
    return {**({"LowerDir": ":".join(lower[1:])} if lower[1:] else {}), "UpperDir": lower[0]}


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config as docker shows it: its usual fields always, others if they are there."""
    shown: dict[str, Any] = {
        "User": "", "Env": None, "Cmd": None, "Entrypoint": None, "WorkingDir": "", "Labels": None,
        "Volumes": None, "OnBuild": None,
    }  # fmt: skip
    shown.update(config)
    return shown


def _familiar(text: str) -> str:
    return references.parse_normalized(text).familiar
