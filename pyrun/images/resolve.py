"""Find an image in the store by what a user wrote, read its record, and see whether a policy has accepted it.

It must not know how an image is pulled, nor what a policy says. Hot: `run` comes here; one read of index.json, one of
the record, and a stat or two where there is no policy.
"""

from __future__ import annotations

import os

from pyrun.errors import ImageNotFoundError, InvalidInputError, InvalidReferenceError, StoreCorruptError
from pyrun.oci import reference
from pyrun.store import fsio, index
from pyrun.store.layout import registries_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.oci.reference import Reference
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

_HEX = "0123456789abcdef"
SYSTEM_POLICY = "/etc/containers/policy.json"


def resolve_image(layout: Layout, text: str) -> dict[str, Any]:
    """Return the record of the image that ``text`` names; see `find_in` for the order.

    Raises: ImageNotFoundError; InvalidInputError (ambiguous id); InvalidReferenceError; StoreCorruptError.
    """
    return load_record(layout, find_entry(layout, text)["digest"])


def load_record(layout: Layout, manifest_digest: str) -> dict[str, Any]:
    """Read the pre-digested record of an image.

    Raises: ImageNotFoundError if there is none; StoreCorruptError if it does not parse.
    """
    from pyrun.store import sealed

    path = layout.image(manifest_digest)
    try:
        record = sealed.unseal(fsio.read_bytes(path))
    except FileNotFoundError:
        raise ImageNotFoundError(manifest_digest, hint="pull the image again") from None
    except ValueError as error:
        raise StoreCorruptError(
            f"cannot read image record: {path}: {error}", path=path, hint="`pyrun fsck --repair` makes it again"
        ) from error
    if not isinstance(record, dict):
        raise StoreCorruptError(f"cannot read image record: {path}: not an object", path=path)
    if record.get("manifest") != manifest_digest:
        raise StoreCorruptError(f"cannot read image record: {path}: it is another image's", path=path)
    return record


def has_layers(layout: Layout, record: dict[str, Any], form: str) -> bool:
    """Say whether all layers of an image are unpacked in a form; one stat(2) each."""
    return all(os.path.isdir(layout.layer(layer["diff_id"], form)) for layer in record["layers"])


def is_there(layout: Layout, record: dict[str, Any]) -> bool:
    """Say whether an image's record is (still) there, and so all that it names."""
    return os.path.exists(layout.image(record["manifest"]))


def require_still(layout: Layout, text: str, manifest: str) -> None:
    """Raise ImageNotFoundError if an image has been removed since ``text`` named it: what is missing is no damage."""
    if all(entry["digest"] != manifest for entry in index.entries(layout)):
        raise ImageNotFoundError(text, hint="it was just removed")


def read_config(layout: Layout, text: str, entry: Entry, record: dict[str, Any]) -> bytes:
    """Read the configuration that ``record`` names; it is of the image that ``text`` names, or of another platform's.

    Raises: ImageNotFoundError if it has just been removed; StoreCorruptError.
    """
    from pyrun.store import blobs

    try:
        return blobs.read(layout, record["image_id"])
    except StoreCorruptError:
        require_still(layout, text, entry["digest"])
        raise


def require_platform(record: dict[str, Any], text: str, platform: str) -> None:
    """Raise NoMatchingPlatformError if an image is not for a platform, InvalidInputError for a word that is none."""
    from pyrun.errors import NoMatchingPlatformError
    from pyrun.oci.platform import Platform, acceptable

    wanted = Platform.parse(platform)
    there = Platform(record["os"], record["architecture"], record["variant"])
    if there not in acceptable(wanted):
        raise NoMatchingPlatformError(
            f"no image for {wanted}: {text}: the one that is here is for {there}", registry="",
            hint=f"`pyrun pull --platform {wanted} {text}` brings it",
        )  # fmt: skip


def find_entry(layout: Layout, text: str) -> Entry:
    """Return the entry of index.json that ``text`` names. Raises: as `resolve_image`."""
    return find_in(index.entries(layout), text)


def find_in(found: list[Entry], text: str) -> Entry:
    """Return the entry that ``text`` names: a whole id, a reference, else a prefix of an id, as docker.

    Ids are those of the config (docker's image id), of the manifest, or of what it was made from.
    Raises: as `resolve_image`.
    """
    entry = _by_reference(found, text) or _by_id(found, text)
    if entry is None:
        # No registry is asked by an image's id.
        is_id = text.startswith("sha256:") or len(text) == 64
        listed = "`pyrun images --no-trunc` lists the ids that there are"
        raise ImageNotFoundError(text, hint=listed if is_id else f"`pyrun pull {text}` fetches it from its registry")
    return entry


def means(found: list[Entry], text: str, image_id: str) -> bool:
    """Say whether ``text`` names the image with that id (of its config)."""
    try:
        entry = find_in(found, text)
    except (ImageNotFoundError, InvalidInputError, InvalidReferenceError):
        return False
    return (index.notes_of(entry).get(index.CONFIG) or entry["digest"]) == image_id


def is_named(text: str, name: str) -> bool:
    """Say whether ``text`` is that tag (a whole name), or a short name that may stand for it."""
    try:
        wanted = reference.parse_normalized(text).with_default_tag()
    except InvalidReferenceError:
        return False
    return any(meaning.with_default_tag().string == name for meaning in _meanings(text, wanted))


def entries_of_id(found: list[Entry], text: str) -> list[Entry]:
    """Return the entries whose image id or manifest digest begins with ``text`` (hex, or ``sha256:`` and hex)."""
    prefix = text.removeprefix("sha256:")
    if not prefix or len(prefix) > 64 or prefix.strip(_HEX):
        return []
    prefix = "sha256:" + prefix
    by_config = [entry for entry in found if index.notes_of(entry).get(index.CONFIG, "").startswith(prefix)]
    return by_config or [entry for entry in found if any(digest.startswith(prefix) for digest in digests_of(entry))]


def policy_file(given: str | None = None) -> str:
    """Return the policy that is in force: ``given`` (--signature-policy), the user's, the system's, or "" for none.

    Raises: StoreError where it cannot be known whether there is one.
    """
    if given:
        return given
    home = f"{os.environ.get('HOME', '')}/.config"
    config = os.environ.get("XDG_CONFIG_HOME", "")
    # XDG base directory specification: a relative path is to be ignored. podman 4 reads ~/.config alone, whatever the
    # variable says: it must not hide what is forbidden there.
    homes = dict.fromkeys((home, config if config.startswith("/") else home))
    for path in (*(f"{config}/containers/policy.json" for config in homes), SYSTEM_POLICY):
        try:
            os.lstat(path)  # a link to nowhere is a policy that cannot be read, not: none
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            from pyrun.errors import StoreError

            raise StoreError(
                f"cannot look for the signature policy: {path}: {(error.strerror or '').lower()}",
                path=path,
                hint="mend the directory's mode, or HOME and XDG_CONFIG_HOME: nothing runs while it is not known",
            ) from error
        return path
    return ""


def verdict_path(layout: Layout, entry: Entry) -> str:
    """Return where the last verdict on an image is kept."""
    return layout.image_signatures(entry["digest"]) + ".verdict"


def stamp(path: str) -> list[str | int]:
    """Describe a file so that a change of it shows. Raises: OSError."""
    status = os.stat(path)
    return [path, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino]


def is_accepted(layout: Layout, entry: Entry, path: str) -> bool:
    """Say whether the policy at ``path`` is known to accept an image; if not, `engine.judgement` finds out."""
    from pyrun.store import sealed

    try:
        verdict = sealed.unseal(fsio.read_bytes(verdict_path(layout, entry)))
        files = verdict["files"]  # the policy, and the keys that it named
        return (
            files[0][0] == path
            and index.ref_name(entry) in verdict["tags"]
            and all(stamp(recorded[0]) == recorded for recorded in files)
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False  # none yet, or not ours, or a file has gone: it is judged anew


def _by_reference(found: list[Entry], text: str) -> Entry | None:
    try:
        wanted = reference.parse_normalized(text).with_default_tag()
    except InvalidReferenceError:
        # 64 hex digits are no reference, they are an id; anything else that is not one is the user's mistake.
        if entries_of_id(found, text) or reference.is_identifier(text.removeprefix("sha256:")):
            return None
        raise
    for meaning in _meanings(text, wanted):
        entry = find_exact(found, meaning.with_default_tag())
        if entry is not None:
            return entry
    return None


def _meanings(text: str, wanted: Reference) -> list[Reference]:
    if not reference.is_short(text):
        return [wanted]
    from pyrun.registry import short_names

    return short_names.here(text, wanted, registries_cache(os.environ))


def find_exact(found: list[Entry], wanted: Reference) -> Entry | None:
    """Return the entry of a whole reference: of its digest, where it has one, else of its tag."""
    if wanted.digest:
        return _by_digest(found, wanted.name, wanted.digest)
    for entry in found:
        if index.ref_name(entry) == wanted.string:
            return entry
    return None


def _by_digest(found: list[Entry], name: str, digest: str) -> Entry | None:
    """Find ``name@digest``: digest of the manifest, of its original, or of the index it came from; name must fit."""
    for entry in found:
        notes = index.notes_of(entry)
        if f"{name}@{digest}" in notes.get(index.REPO_DIGESTS, "").split():
            return entry
        # A local tag names its manifest too, though no registry has it.
        if digest in digests_of(entry) and index.ref_name(entry).rpartition(":")[0] == name:
            return entry
    return None


def _by_id(found: list[Entry], text: str) -> Entry | None:
    matches = entries_of_id(found, text)
    if len({entry["digest"] for entry in matches}) > 1:
        # The same config in two manifests (other compression) is one image to docker: take the first.
        ids = {index.notes_of(entry).get(index.CONFIG) or entry["digest"] for entry in matches}
        if len(ids) > 1:
            raise InvalidInputError(
                f"multiple IDs found with provided prefix: {text}", hint="give more digits of the id, or a tag"
            )
    return matches[0] if matches else None


def digests_of(entry: Entry) -> list[str]:
    """Return the digests that an entry's image can be asked for by: its manifest's, its original's, its index's."""
    notes = index.notes_of(entry)
    found = [entry["digest"]]
    for key in (index.ORIGINAL, index.SOURCE_INDEX):
        if key in notes:
            found.append(notes[key])
    return found
