"""The verb push: what an image of the store is, byte for byte, to a registry under a name.

It must not show anything: a callback hears of progress. Blobs go first, the tag last: who pulls sees the image before
or the whole new one.
"""

from __future__ import annotations

from pyrun.engine import events, judgement, sources
from pyrun.engine.mount_sources import MountSources
from pyrun.engine.push_blobs import BlobPush, Compression
from pyrun.engine.push_content import content_of, kind_of
from pyrun.errors import ImageNotFoundError, InvalidInputError, InvalidReferenceError, StoreCorruptError
from pyrun.images import resolve
from pyrun.oci import media_types
from pyrun.oci import reference as references
from pyrun.oci.platform import Platform
from pyrun.oci.reference import Reference
from pyrun.registry.client import RegistryClient
from pyrun.registry.url import authority_of
from pyrun.store import index, leases

_MOST_PUSHED = 16  # places without a name here that are remembered of one image: the last ones

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.engine.push_blobs import Hear
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


class PushOptions:
    """What may be asked for besides names; empty: as the image is."""

    __slots__ = ("cert_dir", "compression", "credentials", "kind", "platform", "tls_verify")

    def __init__(
        self,
        *,
        platform: str = "",
        format: str = "",
        compression_format: str = "",
        compression_level: int | None = None,
        force_compression: bool = False,
        credentials: str = "",
        authfile: str = "",
        tls_verify: bool | None = None,
        cert_dir: str = "",
    ) -> None:
        """Raises: InvalidInputError for values that there are not, or that do not go together."""
        self.platform = Platform.parse(platform) if platform else None
        self.kind = kind_of(format)
        self.compression: Compression | None = None
        if compression_format:
            self.compression = Compression(compression_format, compression_level, is_forced=force_compression)
        elif compression_level is not None or force_compression:
            raise InvalidInputError("how to compress was given, but not --compression-format")
        if self.kind == media_types.DOCKER_MANIFEST and compression_format == "zstd":
            raise InvalidInputError("schema 2 (v2s2) has no name for zstd layers", hint="`--format oci`")
        self.credentials = sources.credentials_of(authfile, credentials)
        self.tls_verify = tls_verify
        self.cert_dir = cert_dir


class Pushed:
    """What was pushed: ``digest`` and ``size`` are those of the document that the tag names now."""

    __slots__ = ("digest", "reference", "size")

    def __init__(self, reference: Reference, digest: str, size: int) -> None:
        self.reference = reference
        self.digest = digest
        self.size = size


def push(
    layout: Layout,
    text: str,
    destination: str = "",
    *,
    all_tags: bool = False,
    options: PushOptions | None = None,
    hear: Hear | None = None,
) -> Iterator[Pushed]:
    """Push an image under its name or another one, or all tags of a repository; give each tag once it is there.

    ``hear(event, label, number, source)`` is called from several threads: ``to`` (the repository), then per layer
    ``preparing``, ``start`` (size), ``packing``, ``bytes`` (so far), and in the end ``pushed``, ``mounted`` (source),
    ``exists`` or ``foreign``.
    Raises: ImageNotFoundError; InvalidInputError and its kinds; RegistryError and its kinds; StoreCorruptError.
    """
    options = options or PushOptions()
    hear = hear or _deaf
    found = index.entries(layout)
    if all_tags:
        if destination:
            raise InvalidInputError("a destination can't be used with --all-tags/-a")
        pairs = _all_tags(found, text)
    else:
        pairs = [_pair(found, text, destination)]
    repository = pairs[0][1]
    place = sources.configuration().named(repository)
    insecure = [authority_of(place.domain)] if place.insecure else []
    hear("to", repository.name)
    with RegistryClient(
        place.domain, options.credentials, insecure=insecure, tls_verify=options.tls_verify, cert_dir=options.cert_dir
    ) as client:
        for entry, target in pairs:
            yield _push(layout, client, found, entry, target, options, hear)


def _push(
    layout: Layout,
    client: RegistryClient,
    entries: list[Entry],
    entry: Entry,
    target: Reference,
    options: PushOptions,
    hear: Hear,
) -> Pushed:
    with leases.acquire(layout, [entry["digest"]]) as lease:
        name = index.ref_name(entry) or _origin(entry) or entry["digest"]
        try:
            content = content_of(
                layout, entry, name, platform=options.platform, kind=options.kind, anew=options.compression is not None
            )
        except StoreCorruptError:
            resolve.require_still(layout, name, entry["digest"])
            raise
        lease.add(content.digests)
        path = target.path
        sender = BlobPush(
            layout, client, path, MountSources(layout, entries, entry, target), hear,
            compression=options.compression, pull=_origin(entry),
        )  # fmt: skip
        sender.push(content.blobs)
        if options.compression is not None:
            from pyrun.engine import push_documents

            push_documents.rewrite(content, options.kind or media_types.OCI_MANIFEST)
        *parts, top = content.documents
        for part in parts:
            client.put_manifest(path, part.digest, part.media_type, part.data)
        client.put_manifest(path, target.tag, top.media_type, top.data)
        judgement.keep_made_here(layout, entry)
        _remember(layout, entry, f"{target.name}@{top.digest}")
    events.image(layout, "push", target.familiar, target.familiar_name)
    return Pushed(target, top.digest, len(top.data))


def _pair(found: list[Entry], text: str, destination: str) -> tuple[Entry, Reference]:
    """Return the image and the name it gets in the registry."""
    try:
        entry = resolve.find_in(found, text)
    except ImageNotFoundError as error:
        raise ImageNotFoundError(error.name, hint=_tags_hint(found, text)) from None
    if destination:
        return entry, _target(destination.removeprefix("docker://"))
    named = index.ref_name(entry)
    if "@" in text:
        raise InvalidReferenceError(text, "cannot push a digest reference", hint=f"`pyrun push {text} NAME:TAG`")
    if not named or not resolve.is_named(text, named):
        hint = f"`pyrun push {text} REGISTRY/NAME:TAG`, or give it a name: `pyrun tag {text} REGISTRY/NAME:TAG`"
        raise InvalidInputError(f"no destination: {text}: an id says not where to", hint=hint)
    return entry, references.parse(named)


def _target(text: str) -> Reference:
    scheme = text.partition(":")[0]
    if scheme in ("oci", "dir", "oci-archive", "docker-archive", "docker-daemon", "containers-storage"):
        raise InvalidInputError(f"cannot push to {scheme}: only to a registry", hint="`pyrun save` writes archives")
    target = references.parse_normalized(text).with_default_tag()
    if target.digest:
        raise InvalidReferenceError(
            text, "cannot push to a digest", hint="the digest is that of what is pushed: give a tag"
        )
    if target.domain == sources.EMBEDDED_DOMAIN:
        raise InvalidReferenceError(text, "that is no registry")
    return target


def _all_tags(found: list[Entry], text: str) -> list[tuple[Entry, Reference]]:
    wanted = references.parse_normalized(text)
    if wanted.tag or wanted.digest:
        raise InvalidInputError("tag can't be used with --all-tags/-a")
    pairs = [(entry, references.parse(index.ref_name(entry))) for entry in found if index.ref_name(entry)]
    pairs = [(entry, reference) for entry, reference in pairs if reference.name == wanted.name]
    if not pairs:
        raise ImageNotFoundError(text, hint="`pyrun images` lists the images")
    return sorted(pairs, key=lambda pair: pair[1].tag)


def _tags_hint(found: list[Entry], text: str) -> str:
    """Say which tags of a repository there are, if any."""
    name = references.parse_normalized(text).name
    known = [references.parse(index.ref_name(entry)) for entry in found if index.ref_name(entry)]
    tags = sorted(reference.tag for reference in known if reference.name == name)
    if tags:
        return f"this tag does not exist; there are {', '.join(tags[:10])}"
    return "`pyrun images` lists the images; `pyrun tag SOURCE TARGET` gives one another name"


def _origin(entry: Entry) -> str:
    """Return a name by which the image can be fetched again; empty if it did not come from a registry."""
    return index.notes_of(entry).get(index.REPO_DIGESTS, "").partition(" ")[0]


def _remember(layout: Layout, entry: Entry, name: str) -> None:
    """Add where it is now to the image's RepoDigests, if it has a tag of that repository, as docker's always has.

    Else it is kept apart until a tag names it: `rmi` of the last tag would leave the image a name that nobody gave it.
    """
    known = index.notes_of(entry)
    if name in (known.get(index.REPO_DIGESTS, "") + " " + known.get(index.PUSHED, "")).split():
        return
    repository = name.partition("@")[0]

    def change(found: list[Entry]) -> list[Entry] | None:
        same = [other for other in found if other["digest"] == entry["digest"]]
        is_named = any(index.ref_name(other).rpartition(":")[0] == repository for other in same)
        key = index.REPO_DIGESTS if is_named else index.PUSHED
        for other in same:
            notes = index.notes_of(other)
            names = [*(place for place in notes.get(key, "").split() if place != name), name]
            other["annotations"] = {**notes, key: " ".join(names if is_named else names[-_MOST_PUSHED:])}
        return found

    index.update(layout, change)


def _deaf(event: str, label: str, number: int = 0, source: str = "") -> None:
    """Hear no progress."""
