"""The verb search: Docker Hub's index, the index or the catalog of other registries, and the tags of a repository.

It must not print.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pyrun.engine import filter_words, sources
from pyrun.errors import InvalidInputError, ManifestUnknownError, RegistryError
from pyrun.oci import reference as references
from pyrun.registry import listing
from pyrun.registry.client import RegistryClient
from pyrun.registry.url import DOCKER_HUB, authority_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.registry.credentials import CredentialStore

MOST = 100
USUAL = 25  # what Hub gives, and podman
FILTERS = ("is-automated", "is-official", "stars")
_HUB_INDEX = "index.docker.io"


class Repository:
    """One that was found; ``index`` is the registry that has it."""

    __slots__ = ("description", "index", "is_automated", "is_official", "name", "stars")

    def __init__(self, index: str, name: str, row: dict[str, Any]) -> None:
        self.index = index
        self.name = name
        self.description = str(row.get("description") or "")
        stars = row.get("star_count")
        self.stars = stars if isinstance(stars, int) else 0
        self.is_official = row.get("is_official") is True
        self.is_automated = row.get("is_automated") is True


class Search:
    """Where and how to search; ``failures`` tells of registries that failed while others have answered."""

    def __init__(
        self,
        *,
        limit: int | None = None,
        filters: Sequence[str] = (),
        authfile: str = "",
        creds: str = "",
        tls_verify: bool | None = None,
        cert_dir: str = "",
    ) -> None:
        """Check what is wanted. Raises: InvalidInputError."""
        self._limit = limit or 0
        self._filters = filter_words.parse(filters, FILTERS)
        self._least_stars = [_stars(text) for text in self._filters.get("stars", [])]
        for key in ("is-automated", "is-official"):
            for word in self._filters.get(key, []):
                filter_words.boolean(key, word)
        self._credentials: CredentialStore | None = sources.credentials_of(authfile, creds)
        self._is_typed = bool(creds)
        self._tls_verify = tls_verify
        self._cert_dir = cert_dir
        self.failures: list[str] = []

    def repositories(self, term: str) -> list[Repository]:
        """Find repositories by a word: at the registry before its first slash, else where short names are looked for.

        Raises: InvalidInputError; RegistryError where no registry could be asked.
        """
        if self._limit and not 1 <= self._limit <= MOST:
            raise InvalidInputError(f"limit {self._limit} is outside the range of [1, {MOST}]")
        if references.is_short(term):
            places, word = sources.configuration().search or [DOCKER_HUB], term
        else:
            domain, _, word = term.partition("/")
            places = [DOCKER_HUB if domain == _HUB_INDEX else domain]
        if self._is_typed and len(places) > 1:
            hint = f"name it: `pyrun search {places[0]}/{word}`"
            raise InvalidInputError(f"credentials are for one registry, and {term} is looked for at several", hint=hint)
        found, last = [], None
        for place in places:
            try:
                found += self._at(place, word, is_alone=len(places) == 1)
            except RegistryError as error:
                last = error
                self.failures.append(f"{place}: {error}")
        if last is not None and len(self.failures) == len(places):
            raise last
        return [row for row in found if self._is_wanted(row)]

    def tags(self, name: str) -> tuple[str, list[str]]:
        """List the tags of a repository; return its name and them. Raises: InvalidReferenceError; RegistryError."""
        reference = references.parse_normalized(name)
        if reference.tag or reference.digest:
            raise InvalidInputError(f"cannot list tags: {name}: it names one already", hint="leave tag and digest out")
        place = sources.configuration().primary(reference)
        insecure = [authority_of(place.domain)] if place.insecure else []
        with RegistryClient(
            place.domain, self._credentials, insecure=insecure, tls_verify=self._tls_verify, cert_dir=self._cert_dir
        ) as client:
            return reference.name, [*islice(listing.tags(client, place.path), self._limit or USUAL)]

    def _at(self, place: str, word: str, *, is_alone: bool) -> list[Repository]:
        sources.configuration().refuse_blocked(place)
        if place != DOCKER_HUB:
            with self._client(place) as client:
                return self._of_any(client, place, word)
        if not word:
            raise InvalidInputError("cannot search Docker Hub without a word")
        with self._client(_HUB_INDEX) as client:
            rows = listing.search(client, word.removeprefix("library/"), self._limit)
        prefix = "" if is_alone else f"{DOCKER_HUB}/"
        return [Repository(place, prefix + str(row["name"]), row) for row in rows]

    def _of_any(self, client: RegistryClient, place: str, word: str) -> list[Repository]:
        """Ask its index; most registries have none, but a catalog of names."""
        limit = self._limit or USUAL
        if word:
            try:
                rows = listing.search(client, word, limit)
                return [Repository(place, f"{place}/{row['name']}", row) for row in rows]
            except RegistryError as error:
                if not isinstance(error, ManifestUnknownError) and error.status not in (401, 403, 405):
                    raise
        names = (name for name in listing.catalog(client) if word in name)
        return [Repository(place, f"{place}/{name}", {}) for name in islice(names, limit)]

    def _client(self, domain: str) -> RegistryClient:
        return RegistryClient(domain, self._credentials, tls_verify=self._tls_verify, cert_dir=self._cert_dir)

    def _is_wanted(self, row: Repository) -> bool:
        answers = {"is-automated": row.is_automated, "is-official": row.is_official}
        fits = [
            any(filter_words.boolean(key, word) == answer for word in self._filters[key])
            for key, answer in answers.items()
            if key in self._filters
        ]
        return all(fits) and all(row.stars >= least for least in self._least_stars)


def _stars(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidInputError(f"invalid filter 'stars={text}'", hint="it is a number")
    return int(text)
