"""How a registry is found and trusted: where a reference is fetched from, without TLS or not, or not at all.

It must not know the files' formats (config_parse.py) nor how a request is made. A reference's name never changes here:
only the place does. Source: containers-registries.conf(5).
"""

from __future__ import annotations

from pyrun.errors import InvalidConfigError, InvalidReferenceError, RegistryError
from pyrun.oci import reference as references
from pyrun.oci.reference import DEFAULT_DOMAIN, Reference
from pyrun.registry import settings
from pyrun.registry.url import insecure_from_environment, split_authority

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Endpoint:
    """A place that has a repository, perhaps under another name; ``insecure``: without TLS, or with any certificate."""

    __slots__ = ("domain", "insecure", "is_mirror", "path")

    def __init__(self, domain: str, path: str, *, insecure: bool, is_mirror: bool) -> None:
        self.domain = domain
        self.path = path
        self.insecure = insecure
        self.is_mirror = is_mirror

    def __repr__(self) -> str:
        return f"Endpoint({self.domain}/{self.path}{' insecure' * self.insecure}{' mirror' * self.is_mirror})"


class Configuration:
    """The merged settings; ``files`` are those that were read."""

    __slots__ = ("_data", "files")

    def __init__(self, data: dict[str, Any], files: list[str]) -> None:
        self._data = data
        self.files = files

    def endpoints(self, reference: Reference) -> list[Endpoint]:
        """List the places to fetch from, in order: the mirrors that may be asked for it, then the registry itself.

        Raises: RegistryError if it is blocked; InvalidConfigError if a rewritten name is none.
        """
        table = self._table(reference.string)
        primary = self._primary(reference, table)
        mirrors = table["mirrors"] if table else self._hub_mirrors(reference)
        prefix = table["prefix"] if table else DEFAULT_DOMAIN
        found = [
            self._rewritten(reference, prefix, location, table, insecure=insecure, is_mirror=True)
            for location, insecure, when in mirrors
            if when in ("all", "digest-only" if reference.digest else "tag-only")
        ]
        return [*(place for place in found if not self._is_blocked(place)), primary]

    def primary(self, reference: Reference) -> Endpoint:
        """Give the registry itself, to read from: where its ``location`` is. Raises: as `endpoints`."""
        return self._primary(reference, self._table(reference.string))

    def named(self, reference: Reference) -> Endpoint:
        """Give the registry that a reference names, which is written to: containers-registries.conf(5) redirects none.

        Raises: RegistryError if it is blocked.
        """
        table = self._table(reference.string)
        if table is None:
            insecure = self._is_named_by_docker(reference.domain)
        else:
            _refuse_blocked(reference.familiar, table)
            insecure = table["insecure"]
        return Endpoint(reference.domain, reference.path, insecure=insecure, is_mirror=False)

    def is_insecure(self, domain: str) -> bool:
        """Say whether a whole registry was declared to be without TLS, or to have any certificate."""
        table = self._table(domain)
        return self._is_named_by_docker(domain) if table is None else bool(table["insecure"])

    def refuse_blocked(self, domain: str) -> None:
        """Raise RegistryError if a whole registry is blocked, for those who ask it for more than a reference."""
        table = self._table(domain)
        if table is not None:
            _refuse_blocked(domain, table)

    @property
    def search(self) -> list[str]:
        """The registries in which a short name is looked for; empty: Docker Hub alone, as docker does."""
        found: list[str] = self._data["search"]
        return found

    def mirrors(self) -> dict[str, list[tuple[str, bool]]]:
        """List location and insecurity of mirrors by the prefix that they are for, for `info`."""
        rows = {table["prefix"]: table["mirrors"] for table in self._data["registries"]}
        rows.setdefault(DEFAULT_DOMAIN, self._data["hub_mirrors"])
        return {prefix: [(location, bad) for location, bad, _ in found] for prefix, found in rows.items() if found}

    def insecure(self) -> list[str]:
        """List what was declared to be without TLS, for `info`."""
        found = [table["prefix"] for table in self._data["registries"] if table["insecure"]]
        return sorted({*found, *self._data["insecure"], *insecure_from_environment()})

    def blocked(self) -> list[str]:
        """List the prefixes that nothing may be fetched from, for `info`."""
        return sorted(table["prefix"] for table in self._data["registries"] if table["blocked"])

    def _table(self, text: str) -> dict[str, Any] | None:
        """Find the table whose prefix matches most of a name; at equal length the one without a wildcard."""
        best: tuple[int, bool, int] = (0, False, 0)
        found = None
        for table in self._data["registries"]:
            prefix = table["prefix"]
            rank = (_matched(text, prefix), prefix[0] != "*", len(prefix))
            if rank[0] and rank > best:
                best, found = rank, table
        return found

    def _primary(self, reference: Reference, table: dict[str, Any] | None) -> Endpoint:
        if table is None or not table["location"]:
            return self.named(reference)
        _refuse_blocked(reference.familiar, table)
        prefix, location, insecure = table["prefix"], table["location"], table["insecure"]
        place = self._rewritten(reference, prefix, location, table, insecure=insecure, is_mirror=False)
        there = self._table_of(place)
        if there is not None:
            _refuse_blocked(reference.familiar, there, f"its location is {location}, and ")
        return place

    def _table_of(self, place: Endpoint) -> dict[str, Any] | None:
        return self._table(f"{place.domain}/{place.path}")

    def _is_blocked(self, place: Endpoint) -> bool:
        table = self._table_of(place)
        return table is not None and bool(table["blocked"])

    def _rewritten(
        self,
        reference: Reference,
        prefix: str,
        location: str,
        table: dict[str, Any] | None,
        *,
        insecure: bool,
        is_mirror: bool,
    ) -> Endpoint:
        text = reference.string
        text = location + text[_matched(text, prefix) :]
        try:
            there = references.parse(text)
            if not there.domain:
                raise InvalidReferenceError(text, "it has no repository")
            if there.tag and there.tag != reference.tag:
                raise InvalidReferenceError(text, "a location cannot change the tag")
        except InvalidReferenceError as error:
            file = table["file"] if table else "daemon.json"
            raise InvalidConfigError(file, f"location {location}", f"{text!r}: {error.reason}") from None
        return Endpoint(there.domain, there.path, insecure=insecure, is_mirror=is_mirror)

    def _hub_mirrors(self, reference: Reference) -> list[list[Any]]:
        found: list[list[Any]] = self._data["hub_mirrors"]
        return found if reference.domain == DEFAULT_DOMAIN else []

    def _is_named_by_docker(self, domain: str) -> bool:
        names = self._data["insecure"]
        host = split_authority(domain)[0] if names else ""
        return any(name in (domain, host) or _is_within(host, name) for name in names)


def load(cache: str = "") -> Configuration:
    """Give the user's configuration. ``cache`` and Raises: as `settings.load`."""
    data, files = settings.load(cache)
    return Configuration(data, files)


def _matched(text: str, prefix: str) -> int:
    """Give how many characters of a name a prefix covers, 0 if it does not; it ends where a part of the name does.

    The prefix has its host in small letters: a host name has no case (RFC 4343).
    """
    domain, slash, path = text.partition("/")
    text = f"{domain.lower()}{slash}{path}"
    if prefix.startswith("*."):
        host = text.partition("/")[0].partition(":")[0]
        return len(host) if host.endswith(prefix[1:]) else 0
    if not text.startswith(prefix):
        return 0
    rest = text[len(prefix) :]
    # A colon after a host is its port's: example.com is another registry than example.com:5000.
    ends = "/:@" if "/" in prefix else "/"
    return len(prefix) if not rest or rest[0] in ends else 0


def _refuse_blocked(name: str, table: dict[str, Any], why: str = "") -> None:
    if table["blocked"]:
        hint = f"{why}{table['prefix']} is blocked in {table['file']}"
        raise RegistryError(f"registry is blocked: {name}", registry=name.partition("/")[0], hint=hint)


def _is_within(host: str, network: str) -> bool:
    """Say whether an address lies in a CIDR range, as docker's insecure-registries may name."""
    if "/" not in network:
        return False
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
