"""The verb rmi --platform: one platform of an image that was pulled with all of them goes, the others stay.

It must not print. The platform that is unpacked is the image here: it cannot go before the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.engine import image_removal, index_parts, namespace, rmi
from pyrun.engine.image_removal import Removed
from pyrun.errors import ConflictError, ImageInUseError, NoMatchingPlatformError, PyrunError
from pyrun.images import record as records
from pyrun.images import resolve
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, best_match
from pyrun.store import blobs, fsio, gc, index, trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.together import Outcome
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class RemovedPlatform:
    """``manifest``: the digest of what went."""

    __slots__ = ("manifest",)

    def __init__(self, manifest: str) -> None:
        self.manifest = manifest

    @property
    def lines(self) -> list[str]:
        """As docker says it."""
        return [f"Deleted: {self.manifest}"]


def remove_platform(layout: Layout, text: str, platform: str, *, force: bool = False) -> RemovedPlatform | Removed:
    """Remove one platform of an image; where it is the only one here, the image, as `rmi` does.

    Raises: NoMatchingPlatformError; ConflictError; ImageInUseError; and as `rmi.remove_images` reports.
    """
    wanted = Platform.parse(platform)
    gone: list[str] = []

    def change(found: list[Entry]) -> list[Entry] | None:
        entry = resolve.find_in(found, text)
        record = resolve.load_record(layout, entry["digest"])
        here = _platforms_here(layout, entry)
        chosen = best_match(here, wanted)
        if chosen is None or chosen.digest in resolve.digests_of(entry):
            _refuse_unpacked(record, text, wanted, others=len(here) > 1)
            return None
        _refuse_used(layout, text, record, chosen.digest, force=force)
        gone.append(chosen.digest)
        kept = set().union(*(_parts(layout, item.digest) for item in here if item is not chosen))
        record["keep"] = sorted(set(record["keep"]) - (_parts(layout, chosen.digest) - kept))
        staged = records.stage(layout, record)
        fsio.sync_file_system(layout.root)
        records.publish(layout, staged, record)
        return [_without_mark(other) if other["digest"] == entry["digest"] else other for other in found]

    collected = gc.bury(layout, lambda: index.update(layout, change))
    trees.remove_all(collected.graves)
    return RemovedPlatform(gone[0]) if gone else rmi.remove_image(layout, text, force=force)


def remove_platforms(layout: Layout, texts: Sequence[str], platform: str, *, force: bool = False) -> list[Outcome]:
    """Do it for each; return what went, or why it stays."""
    namespace.register(layout)
    Platform.parse(platform)  # wrong for one, wrong for all
    outcomes: list[Outcome] = []
    for text in texts:
        try:
            outcomes.append((text, remove_platform(layout, text, platform, force=force), None))
        except PyrunError as error:
            outcomes.append((text, None, error))
    return outcomes


def _platforms_here(layout: Layout, entry: Entry) -> list[Descriptor]:
    listed = index.notes_of(entry).get(index.SOURCE_INDEX, "")
    if not listed or not blobs.exists(layout, listed):
        return []
    document = decode_manifest(blobs.read(layout, listed))
    manifests = document.manifests if isinstance(document, Index) else []
    return [item for item in manifests if index_parts.is_image(item) and blobs.exists(layout, item.digest)]


def _parts(layout: Layout, manifest: str) -> set[str]:
    document = decode_manifest(blobs.read(layout, manifest))
    assert isinstance(document, Manifest)
    return {manifest, document.config.digest, *(layer.digest for layer in document.layers)}


def _refuse_unpacked(record: dict[str, Any], text: str, wanted: Platform, *, others: bool) -> None:
    """Let the image's own platform go only with the image."""
    try:
        resolve.require_platform(record, text, str(wanted))
    except NoMatchingPlatformError as error:
        error.hint = "`pyrun images --tree` shows the platforms that are here"
        raise
    if others:
        raise ConflictError(
            f"cannot remove one platform: {text}: {wanted} is unpacked, and others are here beside it",
            hint=f"remove those first, or all: `pyrun rmi {text}`",
        )


def _refuse_used(layout: Layout, text: str, record: dict[str, Any], manifest: str, *, force: bool) -> None:
    user = next(iter(image_removal.Users(layout).of({manifest})), None)
    if user is not None and not force:
        raise ImageInUseError.by_reference(text, user[0], user[1], record["image_id"], running=False)


def _without_mark(entry: Entry) -> Entry:
    notes = {key: value for key, value in index.notes_of(entry).items() if key != index.ALL_PLATFORMS}
    return {**entry, "annotations": notes}
