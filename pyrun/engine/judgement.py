"""What a signature policy says of an image: when it comes in, from wherever, and again when it is used.

It must not know how signatures are fetched or verified. The seam for whatever brings images: `admit` before anything of
it has a name in the store, `Admitted.keep` beside it. An image that was made here (commit, build) is not judged.
"""

from __future__ import annotations

import os
import time
from binascii import a2b_base64, b2a_base64

from pyrun.engine.origin import Origin
from pyrun.errors import PolicyRejectedError, PyrunError, StoreError
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.oci.signature import Signature
from pyrun.store import fsio, index, owner, sealed
from pyrun.trust import policy, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

_SETTLED_NANOSECONDS = 2_000_000_000


class Admitted:
    """An image that may come in: from where, and by which signatures. Without an ``origin`` it is never judged."""

    __slots__ = ("_origin", "signatures")

    def __init__(self, origin: Origin | None, signatures: list[Signature]) -> None:
        self._origin = origin
        self.signatures = signatures

    def keep(self, layout: Layout, manifest: str) -> None:
        """Put it beside the image, for a later policy to see. The caller's lease is on ``manifest``."""
        if self._origin is None:
            return
        fsio.make_directory(layout.signatures)
        path = layout.image_signatures(manifest)
        with fsio.FileLock(layout.index_lock, exclusive=True):
            before = _kept(path)
            after = {
                "origins": _added(before["origins"], [self._origin.row]),
                "signatures": _added(before["signatures"], [_row(item) for item in self.signatures]),
            }
            if after != before:
                fsio.unlink_quietly(resolve.verdict_path(layout, {"digest": manifest}))  # it was of less
                data = sealed.seal(after)
                fsio.write_atomic(path, data, temporary=f"{layout.tmp}/{owner.token()}")


def admit(origin: Origin, digest: str, signatures: Iterable[Signature] = (), *, given: str | None = None,
          is_of_index: bool = False) -> Admitted:  # fmt: skip
    """Judge an image that comes in, by the digest of its manifest as it came, before anything of it is published.

    ``given``: --signature-policy. ``is_of_index``: chosen from an index, whose own signatures do not count
    (as in containers/image: the signature must be on what runs).

    Raises: PolicyRejectedError; whatever ``signatures`` raises; InvalidConfigError, NotFoundError, StoreError (files).
    """
    path = resolve.policy_file(given)
    if not path:
        return Admitted(origin, [])
    rules = _read(path)
    scope, requirements = rules.requirements(origin.transport, origin.scopes)
    try:
        return Admitted(origin, verdict.judge(requirements, origin.reference, digest, signatures))
    except PyrunError as error:
        error.add_note(_asked_by(origin, scope, path))
        raise
    except verdict.UnmetError as error:
        hint = _hint(error, origin, path, is_of_index=is_of_index)
        raise PolicyRejectedError(origin.name, error.reason, scope=scope, file=path, hint=hint) from None


def admit_of_store(layout: Layout, entry: Entry, digest: str, *, given: str | None = None) -> Admitted:
    """Judge another platform of an image of the store: not by what it is called here, but as `check_stored` does.

    ``digest``: of that platform's manifest as it came. Raises: as `admit`.
    """
    refusals = []
    for origin in _origins(entry, _came_from(layout, entry)):
        if origin.is_here:
            return Admitted(origin, [])
        try:
            return admit(origin, digest, kept_signatures(layout, digest), given=given, is_of_index=True)
        except PolicyRejectedError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    return Admitted(None, [])


def keep_made_here(layout: Layout, entry: Entry) -> None:
    """Note that an image of which nothing says where it came from was made here, before a `push` gives it a place.

    The caller's lease is on it. Raises: StoreError.
    """
    if not _pulled_from(entry) and not os.path.exists(layout.image_signatures(entry["digest"])):
        Admitted(Origin.here(), []).keep(layout, entry["digest"])


def default_of(path: str) -> str:
    """Say what the policy at ``path`` asks for where it names no scope. Raises: StoreError; InvalidConfigError."""
    return ", ".join(requirement.kind for requirement in _read(path).requirements("", [])[1])


def check_stored(layout: Layout, entry: Entry, path: str) -> None:
    """Judge an image of the store by the policy at ``path``, and remember that it was accepted.

    By the tag that it has, if it came from that repository; else (another tag was given here, or an id was named) it is
    enough if it is accepted by any of the names that it came in by. Raises: as `admit`.
    """
    kept = _kept(layout.image_signatures(entry["digest"]))
    origins = _origins(entry, _came_from(layout, entry))
    before = _stamps([path])
    rules = _read(path)
    # Before the keys are read: a verdict must not be kept for a file that came after it.
    keys = _stamps(rules.key_files)
    if origins:
        _any_accepted(rules, origins, entry, kept_signatures(layout, entry["digest"]), path)
    if before is not None and keys is not None:
        _remember(layout, entry, [*before, *keys], kept)


def kept_signatures(layout: Layout, manifest: str) -> list[Signature]:
    """Return the signatures by which an image of the store has come in. Raises: StoreError."""
    rows = _kept(layout.image_signatures(manifest))["signatures"]
    return [Signature(a2b_base64(row["payload"]), row["signature"], row["digest"]) for row in rows]


def repositories(layout: Layout, manifest: str) -> list[str]:
    """Return the names of the repositories that an image of the store was pulled from. Raises: StoreError."""
    origins = [Origin.of_row(row) for row in _kept(layout.image_signatures(manifest))["origins"]]
    return list(dict.fromkeys(origin.reference.name for origin in origins if origin.reference is not None))


def _any_accepted(
    rules: policy.Policy, origins: list[Origin], entry: Entry, signatures: list[Signature], path: str
) -> None:
    digest: str = index.notes_of(entry).get(index.ORIGINAL) or entry["digest"]
    refusals = []
    for origin in origins:
        if origin.is_here:
            return
        scope, requirements = rules.requirements(origin.transport, origin.scopes)
        try:
            verdict.judge(requirements, origin.reference, digest, signatures)
            return
        except PyrunError as error:
            error.add_note(_asked_by(origin, scope, path))
            raise
        except verdict.UnmetError as error:
            reason = error.reason if signatures or error.kind != policy.SIGSTORE else "it came in without a signature"
            hint = _stored_hint(error, origin, path)
            refusals.append(PolicyRejectedError(origin.name, reason, scope=scope, file=path, hint=hint))
    raise refusals[0]


def _origins(entry: Entry, came_from: list[Origin]) -> list[Origin]:
    here = [origin for origin in came_from if origin.is_here]
    if here:
        return here  # it stays our own, where it was pulled again as well
    tag = index.ref_name(entry)
    if tag:
        tagged = references.parse_normalized(tag)
        if any(origin.reference is not None and origin.reference.name == tagged.name for origin in came_from):
            return [Origin.registry(tagged)]
    return came_from


def _came_from(layout: Layout, entry: Entry) -> list[Origin]:
    rows = _kept(layout.image_signatures(entry["digest"]))["origins"]
    return [Origin.of_row(row) for row in rows] or _pulled_from(entry)


def _pulled_from(entry: Entry) -> list[Origin]:
    """Where index.json says that an image came from: with its record of that lost, it is not one that was made here."""
    from pyrun.engine.sources import EMBEDDED_DOMAIN

    places = map(references.parse, index.notes_of(entry).get(index.REPO_DIGESTS, "").split())
    return [Origin.registry(place) for place in places if place.domain != EMBEDDED_DOMAIN]  # that is a part of pyrun


def _asked_by(origin: Origin, scope: str, path: str) -> str:
    return f"the signature policy asks for a signature of {origin.name} (scope {scope} of {path})"


def _hint(error: verdict.UnmetError, origin: Origin, path: str, *, is_of_index: bool) -> str:
    remedy = f"if it is to be trusted, give it a scope of its own in {path}"
    if origin.transport in policy.WITHOUT_SCOPES:
        remedy = f'if it is to be trusted, let "{origin.transport}" "" accept it in {path}: it has no other scope'
    if error.kind != policy.SIGSTORE:
        return remedy
    if origin.reference is None:
        return f"archives have no signatures: {remedy}"
    if is_of_index:
        return (
            f"it is one platform of an index, and must be signed itself: `pyrun image sign --recursive {origin.name}`"
        )
    return f"its owner can sign it: `pyrun image sign --key cosign.key {origin.name}`"


def _stored_hint(error: verdict.UnmetError, origin: Origin, path: str) -> str:
    if error.kind == policy.SIGSTORE and origin.reference is not None:
        return f"`pyrun pull {origin.name}` asks its registry for signatures"
    return _hint(error, origin, path, is_of_index=False)


def _read(path: str) -> policy.Policy:
    try:
        data = fsio.read_bytes(path)
    except OSError as error:
        raise StoreError(
            f"cannot read the signature policy: {path}: {(error.strerror or '').lower()}",
            path=path,
            hint="nothing is accepted until it can be read: mend or remove it",
        ) from error
    return policy.parse(data, path)


def _stamps(files: list[str]) -> list[list[str | int]] | None:
    """Describe files, None unless a change of any would show: not if one is missing, or was written just now."""
    try:
        found = [resolve.stamp(path) for path in files]
    except OSError:
        return None
    now = time.time_ns()
    return found if all(now - int(row[1]) > _SETTLED_NANOSECONDS for row in found) else None


def _remember(layout: Layout, entry: Entry, stamps: list[list[str | int]], kept: dict[str, list[Any]]) -> None:
    tags, path = [index.ref_name(entry)], resolve.verdict_path(layout, entry)
    try:
        before = sealed.unseal(fsio.read_bytes(path))
        tags += [tag for tag in before["tags"] if before["files"] == stamps and tag not in tags]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # none, or of another policy
    data = sealed.seal({"files": stamps, "tags": tags})
    try:
        fsio.make_directory(layout.signatures)
        with fsio.FileLock(layout.index_lock, exclusive=True):
            if _kept(layout.image_signatures(entry["digest"])) == kept:  # else it has come in once more meanwhile
                fsio.write_atomic(path, data, temporary=f"{layout.tmp}/{owner.token()}", sync=False)
    except (OSError, StoreError):
        return  # a full disk: it is judged again next time


def _kept(path: str) -> dict[str, list[Any]]:
    try:
        found = sealed.unseal(fsio.read_bytes(path))
        return {"signatures": [*found["signatures"]], "origins": [*found["origins"]]}
    except FileNotFoundError:
        return {"signatures": [], "origins": []}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"cannot read the signatures of an image: {path}: {error}",
            path=path,
            hint=f"remove {path}, then pull again",
        ) from error


def _added(before: list[Any], more: list[Any]) -> list[Any]:
    return before + [item for item in more if item not in before]


def _row(signature: Signature) -> dict[str, str]:
    return {
        "digest": signature.digest,
        "signature": signature.encoded,
        "payload": b2a_base64(signature.payload, newline=False).decode("ascii"),
    }
