"""The verb history: the steps that an image was built by, and, of a tag, where it pointed when.

It must not print. The steps come from the config, read from its blob and verified; sizes are those of the unpacked
layers. HOT.
"""

from __future__ import annotations

from pyrun.engine.images import moment_of
from pyrun.errors import NotFoundError
from pyrun.images import resolve
from pyrun.oci import json
from pyrun.oci import reference as references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout

# What docker shows as the id of a step that is no image of its own.
MISSING = "<missing>"


class Step:
    """One instruction. ``created``: nanoseconds since 1970, 0 if unknown; ``size``: bytes of its layer's files."""

    __slots__ = ("comment", "created", "created_by", "id", "size")

    def __init__(self, *, id: str, created: int, created_by: str, size: int, comment: str) -> None:
        self.id = id
        self.created = created
        self.created_by = created_by
        self.size = size
        self.comment = comment


class TagMove:
    """A line of refs.log: ``old`` and ``new`` are digests of manifests, "" for none."""

    __slots__ = ("name", "new", "old", "time")

    def __init__(self, time: str, name: str, old: str, new: str) -> None:
        self.time = time
        self.name = name
        self.old = old
        self.new = new


def history(layout: Layout, text: str, platform: str | None = None) -> list[Step]:
    """Return an image's steps, the last one first.

    ``platform``: of the image for that, if it is here. Where a layer is not unpacked, its size is its blob's.
    Raises: ImageNotFoundError; StoreCorruptError; NoMatchingPlatformError.
    """
    entry = resolve.find_entry(layout, text)
    record = resolve.load_record(layout, entry["digest"])
    if platform:
        from pyrun.engine import other_platform

        record = other_platform.record_for(layout, entry, record, text, platform)
    config = json.loads(resolve.read_config(layout, text, entry, record))
    sizes = [layer["unpacked"] for layer in record["layers"]]
    found: list[Step] = []
    for told in config.get("history") or ():
        has_layer = not told.get("empty_layer")
        found.append(
            Step(
                id=MISSING, created=moment_of(told.get("created") or ""), created_by=told.get("created_by") or "",
                size=sizes.pop(0) if has_layer and sizes else 0, comment=told.get("comment") or "",
            )
        )  # fmt: skip
    # Tools may leave the history out, or some of it: what it does not speak of still has a size.
    for size in sizes:
        found.append(Step(id=MISSING, created=0, created_by="", size=size, comment=""))
    found.reverse()
    if found:
        found[0].id = record["image_id"]
    return found


def tag_moves(layout: Layout, text: str) -> list[TagMove]:
    """Return where a tag pointed, the latest move first; also of one that is gone.

    Raises: InvalidReferenceError; NotFoundError if it is not known to have been set.
    """
    references.parse_normalized(text)
    from pyrun.store import tag_log

    moves = tag_log.moves(layout)
    meant = {name for name in {move[1] for move in moves} if resolve.is_named(text, name)}
    found = [
        TagMove(time, name, old.removeprefix("-"), new.removeprefix("-"))
        for time, name, old, new in moves
        if name in meant
    ]
    if not found:
        raise NotFoundError(
            f"no record of tag: {text}", hint="`pyrun images` lists the tags that there are; ids and digests never move"
        )
    return found[::-1]


def earlier_names(layout: Layout) -> dict[str, list[str]]:
    """Return the tags that each manifest once had and has no more, the latest first, as users write them."""
    from pyrun.store import index, tag_log

    now = {(index.ref_name(entry), entry["digest"]) for entry in index.entries(layout)}
    found: dict[str, list[str]] = {}
    for _, name, old, new in reversed(tag_log.moves(layout)):
        shown = references.parse_normalized(name).familiar
        for digest in (new, old):
            names = found.setdefault(digest, [])
            if (name, digest) not in now and shown not in names:
                names.append(shown)
    return found


def last_tag_time(layout: Layout, manifest: str) -> str:
    """Return when a tag was last set on a manifest, as refs.log has it; "" if never."""
    from pyrun.store import tag_log

    return next((time for time, _, _, new in reversed(tag_log.moves(layout)) if new == manifest), "")
