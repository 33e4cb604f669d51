"""The verb pull: is it here already, does the registry still say the same, else fetch it (`image_pull.py`).

It must not show anything: a callback hears of progress. HOT: where a tag has not moved, nothing is loaded but what
asks the registry.
"""

from __future__ import annotations

from pyrun.engine import events, namespace, sources
from pyrun.errors import (
    ImageNotFoundError,
    InvalidInputError,
    ManifestUnknownError,
    NoMatchingPlatformError,
    PolicyRejectedError,
    RegistryError,
    StoreCorruptError,
)
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.oci.platform import Platform, acceptable, host
from pyrun.store import blobs, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.engine.fetch import Progress
    from pyrun.engine.sources import ImageSource
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.reference import Reference
    from pyrun.registry.credentials import CredentialStore
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

POLICIES = ("always", "missing", "newer", "never")


class PullResult:
    """What a pull found or brought. ``digest`` is that of the tag (an index's, if it is one), as docker prints it."""

    __slots__ = ("digest", "image_id", "manifest", "record", "reference", "status_lines", "up_to_date")

    def __init__(self, reference: Reference, record: dict[str, Any], digest: str, *, up_to_date: bool) -> None:
        self.reference = reference
        self.record = record
        self.manifest: str = record["manifest"]
        self.image_id: str = record["image_id"]
        self.digest = digest
        self.up_to_date = up_to_date
        self.status_lines = [f"Digest: {digest}", status(reference.familiar, up_to_date=up_to_date), reference.string]


def status(name: str, *, up_to_date: bool) -> str:
    """Return docker's last but one line."""
    return f"Status: {'Image is up to date' if up_to_date else 'Downloaded newer image'} for {name}"


def pull(
    layout: Layout,
    text: str,
    *,
    platform: str | None = None,
    policy: str = "always",
    progress: Progress | None = None,
    quiet: bool = False,
    form: str | None = None,
    spawn: Spawn | None = None,
    source: ImageSource | None = None,
    tls_verify: bool | None = None,
    all_platforms: bool = False,
    signature_policy: str | None = None,
    credentials: CredentialStore | None = None,
    cert_dir: str = "",
) -> PullResult:
    """Make an image available, layers unpacked in ``form`` (default: what this user's namespace can own).

    ``policy``: ``always`` asks the registry; ``newer`` too, but without an answer takes what is here; ``missing`` asks
    only for what is not here, ``never`` not at all. ``all_platforms``: all of an index, of other platforms the blobs.
    ``progress(event, what, number)`` is called from several threads: ``from`` (reference), ``resolved`` (digest), then
    per layer (its blob's digest) ``waiting``, ``start`` (size), ``bytes`` (more bytes), ``unpacked`` (bytes on disk),
    ``done``, or ``exists``. ``signature_policy``: a policy.json to obey instead of the user's or the system's;
    ``credentials``, ``cert_dir``: those to show to the registry (`sources.source_of`).
    Raises: ImageNotFoundError (policy never), RegistryError and its kinds, IntegrityError, StorageFullError;
    PolicyRejectedError, then nothing has come in.
    """
    if policy not in POLICIES:
        raise InvalidInputError(f"invalid pull policy: {policy!r}", hint=f"it is one of {', '.join(POLICIES)}")
    wanted = Platform.parse(platform) if platform else None
    hear = progress if progress is not None and not quiet else _deaf
    form = form or namespace.form()
    spawn = spawn or namespace.spawner(layout)
    namespace.register(layout)
    if policy in ("missing", "never"):
        found = _local(layout, text, wanted, policy, form=form, spawn=spawn, signature_policy=signature_policy)
        if found is not None:
            return found
    try:
        reference, remote = _place(text, source, tls_verify, credentials, cert_dir)
        try:
            return _from(
                layout, remote, reference, wanted, form, spawn, hear,
                all_platforms=all_platforms, signature_policy=signature_policy,
            )  # fmt: skip
        finally:
            remote.close()
    except RegistryError:
        if policy != "newer":
            raise
        found = _local(layout, text, wanted, policy, form=form, spawn=spawn, signature_policy=signature_policy)
        if found is None:
            raise
        return found


def pull_all_tags(
    layout: Layout,
    text: str,
    each: Callable[[str], PullResult],
    *,
    tls_verify: bool | None = None,
    credentials: CredentialStore | None = None,
    cert_dir: str = "",
) -> list[PullResult]:
    """Pull every tag of a repository: ``each`` does it, given the whole reference.

    Raises: InvalidInputError for a name with a tag; RegistryError and its kinds; what ``each`` raises.
    """
    if ":" in text.rpartition("/")[2] or "@" in text:
        raise InvalidInputError("tag can't be used with --all-tags/-a", hint=f"`pyrun pull -a {_bare(text)}`")
    reference, remote = sources.find(
        text, tls_verify=tls_verify, is_asked=False, credentials=credentials, cert_dir=cert_dir
    )
    try:
        tags = [*remote.tags()]
    finally:
        remote.close()
    if not tags:
        raise ManifestUnknownError(f"no tags: {reference.name}", registry=reference.domain)
    return [each(f"{reference.name}:{tag}") for tag in tags]


def _bare(text: str) -> str:
    directory, slash, name = text.partition("@")[0].rpartition("/")
    return directory + slash + name.partition(":")[0]


def ensure_form(layout: Layout, record: dict[str, Any], form: str, *, spawn: Spawn) -> None:
    """Unpack an image's layers in another form from its blobs, if they are missing; the cheap case is one stat each.

    Raises: StoreCorruptError where a blob is missing; IntegrityError where it is damaged.
    """
    if not resolve.has_layers(layout, record, form):
        from pyrun.engine.image_pull import unpack_missing

        unpack_missing(layout, record, form, spawn=spawn)


def _place(
    text: str, source: ImageSource | None, tls_verify: bool | None, credentials: CredentialStore | None, cert_dir: str
) -> tuple[Reference, ImageSource]:
    if source is None:
        return sources.find(text, tls_verify=tls_verify, credentials=credentials, cert_dir=cert_dir)
    return references.parse_normalized(text).with_default_tag(), source


def _from(
    layout: Layout,
    remote: ImageSource,
    reference: Reference,
    platform: Platform | None,
    form: str,
    spawn: Spawn,
    hear: Progress,
    *,
    all_platforms: bool,
    signature_policy: str | None,
) -> PullResult:
    wanted = platform or host(with_variant=True)
    hear("from", reference.string, 0)
    current = _current(layout, remote, reference, wanted, form, all_platforms, signature_policy)
    if current is not None:
        hear("resolved", current.digest, 0)
        labels = current.record.get("labels")
        events.image(layout, "pull", reference.familiar, reference.familiar_name, labels)
        return current
    from pyrun.engine import obituary
    from pyrun.engine.image_pull import ImagePull
    from pyrun.store.sweep import sweep

    obituary.write_all(layout)
    sweep(layout)
    return ImagePull(
        layout, remote, reference, wanted, form, spawn, hear,
        all_platforms=all_platforms, signature_policy=signature_policy,
    ).run()  # fmt: skip


def _current(
    layout: Layout,
    remote: ImageSource,
    reference: Reference,
    wanted: Platform,
    form: str,
    all_platforms: bool,
    signature_policy: str | None,
) -> PullResult | None:
    """Return what is here, whole, if the registry still names it by the reference: one request, without a body.

    None as well if the signature policy does not accept it as it came in: the registry may have signatures now.
    """
    entry = resolve.find_exact(index.entries(layout), reference)
    try:
        record = resolve.load_record(layout, entry["digest"]) if entry is not None else None
    except (ImageNotFoundError, StoreCorruptError):
        return None  # it is written anew
    if entry is None or record is None or not _is_whole(layout, record, form):
        return None
    notes = index.notes_of(entry)
    if all_platforms and notes.get(index.SOURCE_INDEX) and not notes.get(index.ALL_PLATFORMS):
        return None
    digest = remote.head(reference)
    if digest not in resolve.digests_of(entry) or not _is_choice(layout, entry, record, digest, wanted):
        return None
    try:
        _check(layout, entry, signature_policy)
    except PolicyRejectedError:
        return None
    return PullResult(reference, record, digest, up_to_date=True)


def _check(layout: Layout, entry: Entry, signature_policy: str | None) -> None:
    path = resolve.policy_file(signature_policy)
    if path and not resolve.is_accepted(layout, entry, path):
        from pyrun.engine import judgement

        judgement.check_stored(layout, entry, path)


def _is_whole(layout: Layout, record: dict[str, Any], form: str) -> bool:
    has_blobs = all(blobs.exists(layout, layer["digest"]) for layer in record["layers"])
    if not has_blobs:
        from pyrun.store import dropped

        has_blobs = all(dropped.is_there_or_dropped(layout, layer["digest"]) for layer in record["layers"])
    return has_blobs and resolve.has_layers(layout, record, form)


def _is_choice(layout: Layout, entry: Entry, record: dict[str, Any], digest: str, wanted: Platform) -> bool:
    """Whether the image that is here is the one that this platform gets of what ``digest`` names."""
    if digest != index.notes_of(entry).get(index.SOURCE_INDEX):
        return _fits(record, wanted)
    from pyrun.images.choice import chosen

    choice = chosen(layout, digest, wanted)
    return choice in resolve.digests_of(entry) if choice else False


def _fits(record: dict[str, Any], wanted: Platform) -> bool:
    return Platform(record["os"], record["architecture"], record["variant"]) in acceptable(wanted)


def _local(
    layout: Layout,
    text: str,
    wanted: Platform | None,
    policy: str,
    *,
    form: str,
    spawn: Spawn,
    signature_policy: str | None,
) -> PullResult | None:
    try:
        entry = resolve.find_entry(layout, text)
        record = resolve.load_record(layout, entry["digest"])
    except ImageNotFoundError:
        if policy == "never":
            raise
        return None
    reference = references.parse_any(text).with_default_tag()
    if wanted is None or _fits(record, wanted):
        _check(layout, entry, signature_policy)
        ensure_form(layout, record, form, spawn=spawn)
        return PullResult(reference, record, record["manifest"], up_to_date=True)
    if index.notes_of(entry).get(index.ALL_PLATFORMS):
        from pyrun.engine.image_pull import ImagePull
        from pyrun.engine.store_source import StoreSource

        source = StoreSource(layout, index.notes_of(entry)[index.SOURCE_INDEX])
        try:
            return ImagePull(
                layout, source, reference, wanted, form, spawn, _deaf, signature_policy=signature_policy, stored=entry
            ).run()
        except PolicyRejectedError:
            if policy == "never":
                raise
            return None  # the signatures of that platform were never asked for
    if policy == "never":
        raise NoMatchingPlatformError(
            f"image is for another platform: {text}: it is {record['platform']}, asked for {wanted}",
            registry="",
            hint=f"pull it: `pyrun pull --platform {wanted} {text}`",
        )
    return None


def _deaf(event: str, what: str, number: int) -> None:
    """Hear no progress."""
