"""policy.json: which requirements an image must meet, by where it comes from.

It must not know where the file is, nor verify anything (verdict.py). What is not understood is an error, not ignored.
Source: containers-policy.json(5).
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from pyrun.errors import InvalidConfigError
from pyrun.trust import identity, strict_json
from pyrun.trust.identity import Identity

ACCEPT = "insecureAcceptAnything"
REJECT = "reject"
SIGSTORE = "sigstoreSigned"
DOCKER = "docker"
# Known to the specification, and answered with a refusal that names them.
_NOT_VERIFIED = {
    "signedBy": "GPG simple signing (signedBy)",
    "signedBaseLayer": "signedBaseLayer",
}
_KEYS = ("keyPath", "keyPaths", "keyData", "keyDatas")
_KEYLESS = (
    "fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas",
)  # fmt: skip
# containers-policy.json(5): these have no scopes but the empty one.
WITHOUT_SCOPES = frozenset({"docker-archive", "tarball"})
_PATHS = frozenset({"dir", "oci", "oci-archive"})


class Key:
    """Where a public key is: a file, or the bytes themselves."""

    __slots__ = ("data", "path")

    def __init__(self, path: str = "", data: bytes = b"") -> None:
        self.path = path
        self.data = data


class Requirement:
    """One thing that must hold. ``reason``: why it cannot, for a kind that is not verified here."""

    __slots__ = ("identity", "keys", "kind", "reason")

    def __init__(self, kind: str, keys: list[Key], rule: Identity | None, reason: str = "") -> None:
        self.kind = kind
        self.keys = keys
        self.identity = rule or Identity(identity.DIGEST_OR_EXACT)
        self.reason = reason


class Policy:
    """A whole file."""

    __slots__ = ("_default", "_transports", "file")

    def __init__(
        self, file: str, default: list[Requirement], transports: dict[str, dict[str, list[Requirement]]]
    ) -> None:
        self.file = file
        self._default = default
        self._transports = transports

    @property
    def key_files(self) -> list[str]:
        """The files of all keys that it names."""
        lists = [self._default, *(found for table in self._transports.values() for found in table.values())]
        return sorted({key.path for found in lists for item in found for key in item.keys if key.path})

    def requirements(self, transport: str, scopes: list[str]) -> tuple[str, list[Requirement]]:
        """Return what the first of an image's scopes (the narrowest first) that is in the file asks for, and its name.

        All requirements of the list must hold.
        """
        table = self._transports.get(transport, {})
        for scope in scopes:
            if scope in table:
                return f'"{transport}" "{scope}"', table[scope]
        if "" in table:
            return f'"{transport}" ""', table[""]
        return '"default"', self._default


def parse(data: bytes, file: str) -> Policy:
    """Read a policy. Raises: InvalidConfigError, with the file and the pointer of what is wrong."""
    what = f"signature policy {file}"
    try:
        found = strict_json.fields(strict_json.loads(data, what), what, "", needed="default", allowed="transports")
        transports = strict_json.mapping(found.get("transports", {}), what, "/transports")
        tables = {name: _scopes(table, name, what) for name, table in transports.items()}
        return Policy(file, _requirements(found["default"], what, "/default"), tables)
    except InvalidConfigError as error:
        error.hint = "nothing is accepted until the file is mended: containers-policy.json(5)"
        raise


def docker_scopes(domain: str, path: str, tag: str, digest: str) -> list[str]:
    """List the scopes of an image of a registry, the narrowest first: itself, repository, namespaces, host, wildcards.

    With a digest the tag is none of its names: the digest wins. The host is in small letters, as `parse` has it.
    """
    domain = domain.lower()
    name = f"{domain}/{path}"
    found = [f"{name}@{digest}" if digest else f"{name}:{tag}"]
    while name:
        found.append(name)
        name = name.rpartition("/")[0]
    host = domain.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        found.append(f"*.{host}")
    return found


def path_scopes(path: str) -> list[str]:
    """List the scopes of an image in a file or directory (absolute, without links): itself, those above it.

    Its name there is none, as in containers/image: nobody need say it where there is one image.
    """
    found = []
    while path and path != "/":
        found.append(path)
        path = path.rpartition("/")[0]
    return found


def _scopes(table: Any, transport: str, what: str) -> dict[str, list[Requirement]]:
    pointer = f"/transports/{transport}"
    found = {}
    for scope, value in strict_json.mapping(table, what, pointer).items():
        _check_scope(scope, transport, what, pointer)
        host, slash, path = scope.partition("/")
        # A host name has no case (RFC 4343): what is rejected must not be had by writing it in capitals.
        key = f"{host.lower()}{slash}{path}" if transport == DOCKER else scope
        if key in found:
            raise InvalidConfigError(what, f"{pointer}/{scope}", "it is there twice, as host names have no case")
        found[key] = _requirements(value, what, f"{pointer}/{scope}")
    return found


def _check_scope(scope: str, transport: str, what: str, pointer: str) -> None:
    if scope and transport in WITHOUT_SCOPES:
        raise InvalidConfigError(what, f"{pointer}/{scope}", f'{transport} has no scope but ""')
    if not scope or transport not in _PATHS:
        return
    path = scope if transport == "dir" else scope.partition(":")[0]
    if not path.startswith("/") or path == "/" or any(part in ("", ".", "..") for part in path[1:].split("/")):
        reason = 'expected an absolute path without "." and ".."; for all of them the scope is ""'
        raise InvalidConfigError(what, f"{pointer}/{scope}", reason)


def _requirements(value: Any, what: str, pointer: str) -> list[Requirement]:
    if not isinstance(value, list) or not value:
        raise InvalidConfigError(what, pointer, "expected a list of requirements that is not empty")
    return [_requirement(item, what, f"{pointer}/{number}") for number, item in enumerate(value)]


def _requirement(value: Any, what: str, pointer: str) -> Requirement:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in (ACCEPT, REJECT):
        strict_json.fields(value, what, pointer, needed="type")
        return Requirement(kind, [], None)
    if kind == SIGSTORE:
        return _sigstore(value, what, pointer)
    if kind == "signedBy":
        strict_json.fields(
            value, what, pointer, needed="type keyType", allowed="keyPath keyPaths keyData signedIdentity"
        )
        return Requirement(kind, [], None, f"{_NOT_VERIFIED[kind]} cannot be verified by pyrun")
    if kind == "signedBaseLayer":
        strict_json.fields(value, what, pointer, needed="type baseLayerIdentity")
        return Requirement(kind, [], None, f"{_NOT_VERIFIED[kind]} cannot be verified by pyrun")
    raise InvalidConfigError(what, f"{pointer}/type", f"unknown kind of requirement: {kind!r}")


def _sigstore(value: Any, what: str, pointer: str) -> Requirement:
    allowed = " ".join((*_KEYS, *_KEYLESS, "signedIdentity"))
    found = strict_json.fields(value, what, pointer, needed="type", allowed=allowed)
    rule = None
    if "signedIdentity" in found:
        rule = identity.parse(found["signedIdentity"], what, f"{pointer}/signedIdentity")
    keyless = [key for key in _KEYLESS if key in found]
    given = [key for key in _KEYS if key in found]
    if len(given) + sum(key in ("fulcio", "pki") for key in keyless) != 1:
        raise InvalidConfigError(what, pointer, f"expected exactly one of {', '.join(_KEYS)}, fulcio, pki")
    if keyless:
        return Requirement(SIGSTORE, [], rule, f"sigstoreSigned with {keyless[0]} cannot be verified by pyrun")
    return Requirement(SIGSTORE, _keys(found[given[0]], given[0], what, f"{pointer}/{given[0]}"), rule)


def _keys(value: Any, kind: str, what: str, pointer: str) -> list[Key]:
    if kind.endswith("s"):
        if not isinstance(value, list) or not value:
            raise InvalidConfigError(what, pointer, "expected a list that is not empty")
        texts = [strict_json.text(item, what, f"{pointer}/{number}") for number, item in enumerate(value)]
    else:
        texts = [strict_json.text(value, what, pointer)]
    if kind.startswith("keyPath"):
        return [Key(path=path) for path in texts]
    try:
        return [Key(data=b64decode(item, validate=True)) for item in texts]
    except ValueError:
        raise InvalidConfigError(what, pointer, "it is not base64") from None
