"""The verb rmi: take a name from an image, and the image with its last one, by docker's rules.

It must not know how garbage is found, nor print. Several images are one collection: what they need is looked at once.
"""

from __future__ import annotations

from pyrun.engine import image_removal, namespace
from pyrun.engine.image_removal import Removed
from pyrun.errors import ConflictError, ImageInUseError, InvalidReferenceError, PyrunError
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.oci.digest import short
from pyrun.runtime import state
from pyrun.store import index, trees
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.image_removal import Users
    from pyrun.engine.together import Outcome
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


def remove_image(layout: Layout, text: str, *, force: bool = False, prune: bool = True) -> Removed:
    """Remove a tag; with it the image, if no other name has it. By id: the image and its only name.

    Raises: as `remove_images` reports.
    """
    ((_, removed, error),) = remove_images(layout, [text], force=force, prune=prune)
    if error is not None:
        raise error
    assert isinstance(removed, Removed)
    return removed


def remove_images(layout: Layout, texts: Sequence[str], *, force: bool = False, prune: bool = True) -> list[Outcome]:
    """Remove each; return for each what went (`Removed`) or why it stays.

    ``prune``: with an image also those below it that have no name, no container and nothing else above them.
    Errors: ImageNotFoundError; InvalidInputError (ambiguous id); ImageInUseError (a stopped container too; with
    ``force`` only a running one, asked by id); ConflictError (an id with several names, without ``force``).
    """
    namespace.register(layout)
    outcomes: list[Outcome] = []

    def choose(found: list[Entry], users: Users) -> tuple[list[Entry], list[Removed]]:
        outcomes.clear()
        for text in texts:
            one = _Removal(layout, found, text, users, force=force, prune=prune)
            try:
                found = one.left()
                outcomes.append((text, one.removed, None))
            except PyrunError as error:
                outcomes.append((text, None, error))
        return found, [removed for _, removed, _ in outcomes if removed is not None]

    collected = image_removal.take(layout, choose)
    trees.remove_all(collected.graves)
    sweep(layout)
    return outcomes


def all_ids(layout: Layout) -> list[str]:
    """Return the ids of all images, once each."""
    return [*dict.fromkeys(map(image_removal.image_id, index.entries(layout)))]


class _Removal:
    """One argument: what it names in the index, and what is left without it."""

    def __init__(
        self, layout: Layout, found: list[Entry], text: str, users: Users, *, force: bool, prune: bool
    ) -> None:
        self._layout = layout
        self._found = found
        self._text = text
        self._users = users
        self._force = force
        self._prune = prune
        self.removed = Removed("")

    def left(self) -> list[Entry]:
        """Return the index without what is named. Raises: as `remove_images` reports."""
        entry = resolve.find_in(self._found, self._text)
        main = self.removed = Removed(image_removal.image_id(entry))
        tag, digest = _name_meant(self._text, entry)
        if not tag and not digest:
            same = [other for other in self._found if image_removal.image_id(other) == main.image_id]
            self._check_id(same, main.image_id)
            return self._without(same)
        same = [other for other in self._found if other["digest"] == entry["digest"]]
        user = self._first_user(same)
        if user and not self._force and _is_single(image_removal.tags(same), image_removal.digests(same)):
            raise ImageInUseError.by_reference(self._text, user[0], user[1], main.image_id, running=_is_up(user))
        rest = self._untag(same, tag, digest)
        if image_removal.tags(rest) or image_removal.digests(rest):
            return self._with(rest)
        # docker: a forced removal takes the last name also from what runs; the image itself stays, without one.
        if any(_is_up(user) for user in self._users.of({entry["digest"]})):
            return self._with(rest)
        return self._without(rest)

    def _check_id(self, same: list[Entry], image_id: str) -> None:
        """Refuse what docker refuses: it runs; or, without force, it has several names or a stopped container."""
        tags, digests = image_removal.tags(same), image_removal.digests(same)
        users = self._users.of({entry["digest"] for entry in same})
        for user in users:
            if _is_up(user):
                raise ImageInUseError.by_id(image_id, user[0], user[1], running=True)
        if (tags or digests) and not self._force and not _is_single(tags, digests):
            names = ", ".join(map(image_removal.familiar, sorted([*tags, *digests])))
            raise ConflictError(
                f"conflict: unable to delete {short(image_id)} (must be forced)"
                " - image is referenced in multiple repositories",
                hint=f"its names are {names}: remove one of them, or all with -f",
            )
        if users and not self._force:
            raise ImageInUseError.by_id(image_id, users[0][0], users[0][1], running=False)

    def _first_user(self, same: list[Entry]) -> tuple[str, str, str] | None:
        return next(iter(self._users.of({entry["digest"] for entry in same})), None)

    def _untag(self, same: list[Entry], tag: str, digest: str) -> list[Entry]:
        """Return an image's entries without a tag, or without the digests of a repository.

        With the last tag of a repository its digests go as well.
        """
        tags, digests = image_removal.tags(same), image_removal.digests(same)
        lost = [tag] if tag else []
        repository = tag.rpartition(":")[0] or digest.partition("@")[0]
        if digest or not any(name.rpartition(":")[0] == repository for name in tags if name != tag):
            lost += [item for item in digests if item.partition("@")[0] == repository]
        self.removed.untagged += map(image_removal.familiar, lost)
        kept = " ".join(item for item in digests if item not in lost)
        rest = index.remove_tag(same, tag) if tag else same
        return [_with_digests(entry, kept) for entry in rest]

    def _with(self, rest: list[Entry]) -> list[Entry]:
        digest = rest[0]["digest"]
        return [*(entry for entry in self._found if entry["digest"] != digest), *rest]

    def _without(self, same: list[Entry]) -> list[Entry]:
        if path := self._users.mount_of({entry["digest"] for entry in same}):
            raise ConflictError(
                f"cannot remove image: {self._text}: it is mounted at {path}",
                hint=f"unmount it first: `pyrun image unmount {self._text}`",
            )
        layers = [image_removal.diff_ids(self._layout, entry["digest"]) for entry in same]
        left = image_removal.delete(self._layout, self._found, same, self.removed)
        if self._prune and any(not index.ref_name(entry) for entry in left):
            left = self._without_parents(left, max(layers, key=len, default=[]))
        return left

    def _without_parents(self, left: list[Entry], layers: list[str]) -> list[Entry]:
        """Remove the images without any name on whose layers the removed one was built, if nothing else needs them."""
        of = {entry["digest"]: image_removal.diff_ids(self._layout, entry["digest"]) for entry in left}
        below = [entry for entry in left if _is_below(of[entry["digest"]], layers)]
        for parent in sorted(below, key=lambda entry: len(of[entry["digest"]]), reverse=True):
            own = of[parent["digest"]]
            has_name = index.ref_name(parent) or image_removal.digests([parent])
            has_child = any(_is_below(own, of[entry["digest"]]) for entry in left)
            if has_name or has_child or self._users.of({parent["digest"]}) or self._users.mount_of({parent["digest"]}):
                break  # docker goes up from child to parent and ends at the first that stays
            self.removed.parents.append(Removed(image_removal.image_id(parent)))
            left = image_removal.delete(self._layout, left, [parent], self.removed.parents[-1])
        return left


def _name_meant(text: str, entry: Entry) -> tuple[str, str]:
    """Return the tag, or the NAME@DIGEST, that ``text`` is; two empty strings if it is an id, or its beginning."""
    name = index.ref_name(entry)
    try:
        wanted = references.parse_normalized(text)
    except InvalidReferenceError:
        return "", ""  # 64 hexadecimal digits
    if wanted.digest:
        whole = f"{wanted.name}@{wanted.digest}"
        return "", whole if whole in image_removal.digests([entry]) else ""
    return (name, "") if name and resolve.is_named(text, name) else ("", "")


def _is_single(tags: Sequence[str], digests: Sequence[str]) -> bool:
    """Say whether all names of an image are in one repository, and at most one of them is a tag: docker's rule."""
    repositories = {item.partition("@")[0] for item in digests} | {name.rpartition(":")[0] for name in tags}
    return len(tags) <= 1 and len(repositories) == 1


def _is_below(layers: Sequence[str], others: Sequence[str]) -> bool:
    return len(layers) < len(others) and [*others[: len(layers)]] == [*layers]


def _is_up(user: tuple[str, str, str]) -> bool:
    return state.status(user[2]).is_up


def _with_digests(entry: Entry, digests: str) -> Entry:
    notes = {key: value for key, value in index.notes_of(entry).items() if key != index.REPO_DIGESTS}
    return {**entry, "annotations": notes | ({index.REPO_DIGESTS: digests} if digests else {})}
