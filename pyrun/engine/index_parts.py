"""What an index names: manifests of all platforms (and what goes with them: attestations), their configs and layers.

It must not know where they come from. With all of it in the store the index can be pushed, or saved, byte for byte.
"""

from __future__ import annotations

from pyrun.errors import InvalidConfigError, StoreCorruptError
from pyrun.oci.index import Index
from pyrun.oci.manifest import decode_manifest
from pyrun.store import blobs, dropped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.layout import Layout

_DEPTH = 4  # an index may name indexes; image-spec 1.1 sets no bound
MAX_MANIFESTS = 1000  # an index of 4 MiB names 20,000, each of which may be an index again; each costs a request
MAX_BYTES = 64 << 20  # of manifests and configs, which are held in memory


class Parts:
    """``manifests``: by digest, the bytes of all below the index, what names before what it names; ``entries``: their
    descriptors, the other way round; ``configs`` and ``layers``: their descriptors, each once."""

    __slots__ = ("_bytes", "_seen", "configs", "entries", "layers", "manifests")

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.entries: list[Descriptor] = []
        self.configs: list[Descriptor] = []
        self.layers: list[Descriptor] = []
        self._bytes = 0
        self._seen: set[str] = set()

    def is_new(self, digest: str) -> bool:
        """Say whether a digest comes for the first time."""
        is_new = digest not in self._seen
        self._seen.add(digest)
        return is_new

    def count(self, size: int) -> None:
        """Raises: InvalidConfigError: it is more than any image has."""
        self._bytes += size
        if len(self.manifests) >= MAX_MANIFESTS or self._bytes > MAX_BYTES:
            reason = f"it names more than {MAX_MANIFESTS} manifests, or {MAX_BYTES >> 20} MiB of them and their configs"
            raise InvalidConfigError("image index", "/manifests", reason)


def parts(document: Index, read: Callable[[Descriptor], bytes | None]) -> Parts | None:
    """Return all that an index names; ``read`` gives a manifest, or None: then there is no answer.

    Raises: InvalidConfigError; what ``read`` raises.
    """
    found = Parts()
    if not _collect(document, read, found, _DEPTH):
        return None
    found.manifests = dict(reversed(found.manifests.items()))
    return found


def stored(layout: Layout, descriptor: Descriptor) -> bytes | None:
    """Return a small blob of the store, verified; None if it is not there, damaged, or of another size."""
    try:
        data = blobs.read(layout, descriptor.digest) if blobs.exists(layout, descriptor.digest) else None
    except StoreCorruptError:
        return None
    return data if data is not None and len(data) == descriptor.size else None


def is_image(entry: Descriptor) -> bool:
    """Say whether an index's entry is for a platform; an attestation is for one named unknown."""
    return entry.platform is not None and entry.platform.os != "unknown"


def are_stored(layout: Layout, found: Parts) -> bool:
    """Say whether the store has all of it."""
    return all(dropped.is_there_or_dropped(layout, item.digest) for item in [*found.configs, *found.layers])


def _collect(document: Index, read: Callable[[Descriptor], bytes | None], found: Parts, depth: int) -> bool:
    if not depth:
        raise InvalidConfigError("image index", "/manifests", f"indexes within indexes, more than {_DEPTH} deep")
    for entry in document.manifests:
        if not found.is_new(entry.digest):
            continue
        data = read(entry)
        if data is None:
            return False
        found.count(len(data))
        inner = decode_manifest(data, entry.media_type)
        if isinstance(inner, Index):
            if not _collect(inner, read, found, depth - 1):
                return False
        else:
            if found.is_new(inner.config.digest):
                found.count(inner.config.size)
                found.configs.append(inner.config)
            found.layers += [layer for layer in inner.layers if found.is_new(layer.digest)]
        found.manifests[entry.digest] = data
        found.entries.append(entry)
    return True
