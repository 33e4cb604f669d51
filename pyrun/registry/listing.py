"""What a registry has: repositories by name, tags of a repository, and docker's search.

It must not know where results are shown. Sources: distribution-spec 1.1 "Listing Tags"; distribution "Catalog";
docker's registry API v1 "Search".
"""

from __future__ import annotations

from urllib.parse import urlencode

from pyrun.errors import RegistryError
from pyrun.oci import json
from pyrun.oci.limits import MAX_DOCUMENT_BYTES
from pyrun.registry.transport import DroppedError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrun.registry.client import RegistryClient

PAGE = 1000
_MAX_PAGES = 10_000
# A million names of 64 characters: who asks holds them all, to sort or to count them.
_MAX_BYTES = 64 * 1024 * 1024


def tags(client: RegistryClient, repository: str) -> Iterator[str]:
    """Give the tags of a repository in the registry's order. Raises: RegistryError and its kinds."""
    what = f"tags of {client.domain}/{repository}"
    yield from _names(client, f"/v2/{repository}/tags/list?n={PAGE}", "tags", repository, what)


def catalog(client: RegistryClient) -> Iterator[str]:
    """Give the names of all repositories; many registries do not tell. Raises: RegistryError and its kinds."""
    yield from _names(client, f"/v2/_catalog?n={PAGE}", "repositories", "", f"catalog of {client.domain}")


def _names(client: RegistryClient, target: str, key: str, repository: str, what: str) -> Iterator[str]:
    for name in _pages(client, target, key, repository, what):
        if not _is_name(name):
            raise _nonsense(client, what)
        yield name


def search(client: RegistryClient, term: str, limit: int) -> list[dict[str, Any]]:
    """Ask a registry's index, as docker does. Raises: ManifestUnknownError where there is none; RegistryError."""
    what = f"search of {client.domain}"
    target = "/v1/search?" + urlencode({"q": term, "n": limit} if limit else {"q": term})
    with client.get(target, what=what) as answer:
        found = _document(client, answer, what)[0].get("results")
    if not isinstance(found, list) or not all(isinstance(row, dict) and _is_name(row.get("name")) for row in found):
        raise _nonsense(client, what)
    return found


def documents(client: RegistryClient, target: str, repository: str, what: str) -> Iterator[dict[str, Any]]:
    """Give the JSON object at a path, and those of the pages that follow it. Raises: RegistryError and its kinds."""
    seen: set[str] = set()
    told = 0
    while target:
        if target in seen or len(seen) > _MAX_PAGES:
            raise RegistryError(f"registry failed: {what}: its pages go in circles", registry=client.domain)
        seen.add(target)
        with client.get(target, repository=repository, what=what) as answer:
            found, size = _document(client, answer, what)
            target = _next(client, answer, what)
        told += size
        if told > _MAX_BYTES:
            raise RegistryError(
                f"registry failed: {what}: it tells more than {_MAX_BYTES >> 20} MiB of names", registry=client.domain
            )
        yield found


def _pages(client: RegistryClient, target: str, key: str, repository: str, what: str) -> Iterator[str]:
    for document in documents(client, target, repository, what):
        found = document.get(key) or []
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise _nonsense(client, what)
        yield from found


def _document(client: RegistryClient, answer: Response, what: str) -> tuple[dict[str, Any], int]:
    """Return an answer's JSON object and how many bytes it has."""
    try:
        data = answer.read(MAX_DOCUMENT_BYTES)
        document, size = json.loads(data[:MAX_DOCUMENT_BYTES]), len(data)
    except DroppedError as error:
        raise RegistryError(f"registry failed: {what}: {error}", registry=client.domain) from error
    except ValueError:
        document, size = None, 0
    if not isinstance(document, dict):
        raise _nonsense(client, what)
    return document, size


def _next(client: RegistryClient, answer: Response, what: str) -> str:
    """Read the Link header (RFC 8288): ``</v2/…>; rel="next"``; the next page is at the same place."""
    link, _, rest = (answer.headers.get("Link") or "").partition(">")
    if not link.startswith("<") or "next" not in rest:
        return ""
    there = answer.url.join(link[1:])
    if there.host != answer.url.host:
        raise RegistryError(f"registry failed: {what}: its next page is at {there.authority}", registry=client.domain)
    return there.target


def _is_name(name: object) -> bool:
    # Printable: it is on its way to a terminal, which would obey the rest.
    return isinstance(name, str) and name.isprintable() and name != ""


def _nonsense(client: RegistryClient, what: str) -> RegistryError:
    message = f"registry failed: {what}: its answer is not of the documented form"
    return RegistryError(message, registry=client.domain, hint=f"is {client.domain} a registry?")
