"""The verbs registry ls and registry catalog: names as the registry tells them, page by page. They must not print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import sources
from pyrun.engine.remote import Repository, client_of
from pyrun.errors import InvalidInputError, RegistryError
from pyrun.registry import listing
from pyrun.registry.auth import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.engine.remote import Access


def tags(text: str, access: Access) -> tuple[str, Iterator[str]]:
    """Return a repository's whole name and its tags, which are asked for as they are taken.

    Raises: InvalidInputError; RegistryError and its kinds, also while they are taken.
    """
    repository = Repository(text, access)
    if ":" in text.removeprefix("docker://").rpartition("/")[2] or "@" in text:
        raise InvalidInputError(f"cannot list tags: {text}: it names one already", hint="leave tag and digest out")

    def each() -> Iterator[str]:
        with repository:
            yield from listing.tags(repository.client, repository.path)

    return repository.name, each()


def catalog(text: str, access: Access) -> tuple[str, Iterator[str]]:
    """Return a registry and the names of its repositories. Raises: as `tags`."""
    domain = Server.parse(text).domain
    configuration = sources.configuration()
    configuration.refuse_blocked(domain)
    client = client_of(domain, access, insecure=configuration.is_insecure(domain))

    def each() -> Iterator[str]:
        with client:
            try:
                yield from listing.catalog(client)
            except RegistryError as error:
                if error.status in (401, 403, 404, 405):
                    login = f"`pyrun login {domain}`; " if error.status == 401 else ""
                    error.hint = (
                        f"{login}many registries do not tell what they have: `pyrun search {domain}/NAME` may find more"
                    )
                raise

    return domain, each()
