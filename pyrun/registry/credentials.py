"""Where users keep their registry credentials: docker's config.json, podman's auth.json, credential helpers.

It must not know how they are used, nor the form of a file (credential_file.py).
Sources: docker-login(1) "Credentials store", containers-auth.json(5).
"""

from __future__ import annotations

import os
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any

from pyrun.errors import AuthenticationError, InvalidConfigError, InvalidInputError, StoreError
from pyrun.registry import credential_file
from pyrun.registry.credential_file import auths_of, helper_of, keys_of, normal
from pyrun.registry.url import DOCKER_HUB

HUB_SERVER = "https://index.docker.io/v1/"
_VARIABLE = "REGISTRY_AUTH_FILE"
_FILES = "containers-auth.json"  # the name of the files among registries.conf's credential-helpers


class Credential:
    """A user and password, or a token instead of the password.

    ``identity_token`` is exchanged for tokens of a scope, ``registry_token`` is one. ``is_offered``: typed just now, so
    that an identity token may be asked for, which comes as ``granted_token``.
    """

    __slots__ = ("granted_token", "identity_token", "is_offered", "password", "registry_token", "user")

    def __init__(
        self, user: str, password: str, identity_token: str = "", registry_token: str = "", *, is_offered: bool = False
    ) -> None:
        self.user = user
        self.password = password
        self.identity_token = identity_token
        self.registry_token = registry_token
        self.is_offered = is_offered
        self.granted_token = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + b2a_base64(f"{self.user}:{self.password}".encode(), newline=False).decode("ascii")

    def __repr__(self) -> str:
        return f"Credential({self.user!r})"


class CredentialStore:
    """The user's credential files, read anew for each question; the first that answers wins.

    ``helpers``: those for all registries (registries.conf), among which ``containers-auth.json`` means the files.
    ``problems`` collects what kept a helper from answering: it explains a later refusal by the registry.
    """

    __slots__ = ("_helpers", "paths", "problems")

    def __init__(self, paths: list[str] | None = None, helpers: list[str] | None = None) -> None:
        self._helpers = _configured_helpers() if paths is None and helpers is None else helpers or []
        self.paths = default_paths() if paths is None else paths
        self.problems: list[str] = []

    def get(self, domain: str, path: str = "") -> Credential | None:
        """Find the credential for a registry, or for a repository of it (podman's namespaced keys).

        Raises:
            InvalidConfigError: a file is no JSON object.
        """
        domain = normal(domain)  # Hub has several hosts
        for helper in self._helpers or [_FILES]:
            found = self._in_files(domain, path) if helper == _FILES else self._ask(helper, domain)
            if found is not None:
                return found
        return None

    def place(self, domain: str) -> str:
        """Name where `store` keeps a credential: a file, or a helper's program."""
        helper = self._helper(domain)
        return f"docker-credential-{helper}" if helper else self.paths[0]

    def store(self, domain: str, credential: Credential, path: str = "") -> str:
        """Keep a credential where ``docker login`` would; give the helper's name, or nothing if it is in ``paths[0]``.

        Raises:
            InvalidConfigError: the file is no JSON object, and so is left as it is.
            StoreError: the file cannot be written.
            AuthenticationError: the helper failed.
        """
        helper = self._helper(domain)
        server = _server(domain, path)
        entry = {} if helper else _entry_of(credential)  # an empty one says that a helper knows more, as docker's does
        if helper:
            from pyrun.registry import credential_helper

            if path:
                raise InvalidInputError(
                    f"cannot log in: {server}: the credential helper {helper} keeps registries, not namespaces of them",
                    hint=f"log in to {domain}",
                )
            user = "<token>" if credential.identity_token else credential.user
            credential_helper.store(helper, server, user, credential.identity_token or credential.password)

        def change(document: dict[str, Any]) -> None:
            auths = auths_of(document)
            for key in keys_of(auths, _name(domain, path)):
                del auths[key]
            document["auths"] = {**auths, server: entry}

        if not (helper and self._is_global(helper)):
            credential_file.update(self.paths[0], change)
        return helper

    def erase(self, domain: str, path: str = "") -> bool:
        """Forget a registry's credential; False if there was none. Raises: as `store`."""
        helper = self._helper(domain)
        erased = False
        if helper and not path:
            from pyrun.registry import credential_helper

            erased = credential_helper.erase(helper, _server(domain, ""))
        name = _name(domain, path)
        if not keys_of(auths_of(credential_file.read(self.paths[0])), name):
            return erased

        def change(document: dict[str, Any]) -> None:
            auths = auths_of(document)
            document["auths"] = {key: entry for key, entry in auths.items() if normal(key) != name}

        credential_file.update(self.paths[0], change)
        return True

    def servers(self) -> list[str]:
        """List ``domain[/path]`` of everything that `erase` could forget. Raises: as `store`."""
        document = credential_file.read(self.paths[0])
        found = {normal(key) for key in auths_of(document)}
        by_registry = document.get("credHelpers")
        found |= {normal(key) for key in by_registry} if isinstance(by_registry, dict) else set()
        everywhere = [document.get("credsStore"), *(name for name in self._helpers if name != _FILES)]
        for helper in everywhere:
            if isinstance(helper, str) and helper:
                from pyrun.registry import credential_helper

                found |= {normal(server) for server in credential_helper.servers(helper)}
        return sorted(found)

    def elsewhere(self, domain: str, path: str = "") -> list[str]:
        """List the files besides the one that `erase` changes which still have a credential."""
        return [file for file in self.paths[1:] if keys_of(auths_of(credential_file.read(file)), _name(domain, path))]

    def _helper(self, domain: str) -> str:
        """Give the helper that a login's credential goes to, or nothing for the file."""
        for helper in self._helpers:
            if helper != _FILES:
                return helper
            break
        return helper_of(credential_file.read(self.paths[0]), domain)

    def _is_global(self, helper: str) -> bool:
        return bool(self._helpers) and self._helpers[0] == helper

    def _in_files(self, domain: str, path: str) -> Credential | None:
        for file in self.paths:
            if file == os.environ.get(_VARIABLE) and not os.path.exists(file):
                self._note(f"{_VARIABLE} names a file that is not there: {file}")
            try:
                document = credential_file.read(file)
            except StoreError as error:
                self._note(error)
                continue
            name = helper_of(document, domain)
            found = self._ask(name, domain) if name else _entry(file, document, domain, path)
            if found is not None:
                return found
        return None

    def _note(self, error: object) -> None:
        # An anonymous pull must not fail because a helper is broken; if the registry refuses, this is said.
        if str(error) not in self.problems:
            self.problems.append(str(error))

    def _ask(self, name: str, domain: str) -> Credential | None:
        from pyrun.registry import credential_helper  # imports subprocess: only for those who have a helper

        try:
            answer = credential_helper.get(name, _server(domain, ""))
        except AuthenticationError as error:
            self._note(error)
            return None
        if answer is None:
            return None
        user, secret = answer
        return Credential("", "", secret) if user == "<token>" else Credential(user, secret)


class Offered(CredentialStore):
    """A store that knows only what the user has just typed."""

    __slots__ = ("_offered",)

    def __init__(self, offered: Credential) -> None:
        super().__init__([])
        self._offered = offered

    def get(self, domain: str, path: str = "") -> Credential | None:
        """Return it, whatever the registry."""
        return self._offered


def default_paths() -> list[str]:
    """List the credential files, most important first; the first is the one that login writes."""
    chosen = os.environ.get(_VARIABLE)
    if chosen:
        return [chosen]
    home = os.path.expanduser("~")
    docker = os.environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    paths = [os.path.join(docker, "config.json")]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        paths.append(os.path.join(runtime, "containers/auth.json"))
    return [*paths, os.path.join(config, "containers/auth.json"), os.path.join(home, credential_file.LEGACY_NAME)]


def _configured_helpers() -> list[str]:
    from pyrun.registry import settings

    found: list[str] = settings.load()[0]["helpers"]
    return found


def _name(domain: str, path: str) -> str:
    return f"{domain}/{path}" if path else domain


def _server(domain: str, path: str) -> str:
    return HUB_SERVER if domain == DOCKER_HUB and not path else _name(domain, path)


def _entry_of(credential: Credential) -> dict[str, str]:
    text = f"{credential.user}:{'' if credential.identity_token else credential.password}".encode()
    entry = {"auth": b2a_base64(text, newline=False).decode("ascii")}
    return {**entry, "identitytoken": credential.identity_token} if credential.identity_token else entry


def _entry(file: str, document: dict[str, Any], domain: str, path: str) -> Credential | None:
    """Find the longest key that covers the repository."""
    auths = auths_of(document)
    wanted = _name(domain, path)
    while True:
        for key in keys_of(auths, wanted):
            found = _credential(file, key, auths[key])
            if found is not None:
                return found
        if wanted == domain:
            return None
        wanted = wanted.rpartition("/")[0]


def _credential(file: str, key: str, entry: object) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    user, password = (value if isinstance(value := entry.get(key), str) else "" for key in ("username", "password"))
    encoded = entry.get("auth")
    if isinstance(encoded, str) and encoded:
        try:
            user, colon, password = a2b_base64(encoded).decode("utf-8").partition(":")
        except (Base64Error, ValueError):
            colon = ""
        if not colon:
            pointer = f"/auths/{key.replace('~', '~0').replace('/', '~1')}/auth"
            raise InvalidConfigError(file, pointer, "no base64 of user:password")
        password = password.rstrip("\0")
    identity, registry = entry.get("identitytoken"), entry.get("registrytoken")
    if isinstance(registry, str) and registry:
        return Credential(user, "", registry_token=registry)
    if isinstance(identity, str) and identity:
        return Credential(user, "", identity)
    if user:
        return Credential(user, password)
    return None
