"""Where users keep their registry credentials: docker's config.json, podman's auth.json, credential helpers.

It must not know how they are used. Sources: docker-login(1) "Credentials store", containers-auth.json(5),
docker-credential-helpers' protocol (a name on stdin, a JSON object on stdout).
"""

from __future__ import annotations

import os
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any

from pyrun.errors import AuthenticationError, InvalidConfigError, StoreError
from pyrun.oci import json
from pyrun.registry.url import DOCKER_HUB

_HUB_SERVER = "https://index.docker.io/v1/"
_HUB_ALIASES = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")


class Credential:
    """A user and password, or an identity token (then there is no password)."""

    __slots__ = ("identity_token", "password", "user")

    def __init__(self, user: str, password: str, identity_token: str = "") -> None:
        self.user = user
        self.password = password
        self.identity_token = identity_token

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + b2a_base64(f"{self.user}:{self.password}".encode(), newline=False).decode("ascii")


class CredentialStore:
    """The user's credential files, read anew for each question; the first file that answers wins.

    ``problems`` collects what kept a helper from answering: it explains a later refusal by the registry.
    """

    __slots__ = ("paths", "problems")

    def __init__(self, paths: list[str] | None = None) -> None:
        self.paths = default_paths() if paths is None else paths
        self.problems: list[str] = []

    def get(self, domain: str, path: str = "") -> Credential | None:
        """Find the credential for a registry, or for a repository of it (podman's namespaced keys).

        Raises:
            InvalidConfigError: a file is no JSON object.
        """
        for file in self.paths:
            try:
                document = _read(file)
            except StoreError as error:
                self._note(error)
                continue
            name = _helper_of(document, domain)
            found = self._ask(name, domain) if name else _entry(file, document, domain, path)
            if found is not None:
                return found
        return None

    def store(self, domain: str, credential: Credential) -> str:
        """Keep a credential where ``docker login`` would; give the file, or the helper's name.

        Raises:
            InvalidConfigError: the file is no JSON object, and so is left as it is.
            StoreError: the file cannot be written.
        """
        file = self.paths[0]
        document = _read(file)
        name = _helper_of(document, domain)
        auths = _auths(document)
        for key in _keys(auths, domain):
            del auths[key]
        if name:
            from pyrun.registry import credential_helper

            credential_helper.store(name, _server(domain), credential.user, credential.password)
            auths[_server(domain)] = {}  # as docker does: the entry says that a helper knows more
        else:
            text = f"{credential.user}:{credential.password}".encode()
            auths[_server(domain)] = {"auth": b2a_base64(text, newline=False).decode("ascii")}
        document["auths"] = auths
        _write(file, document)
        return f"credential helper {name}" if name else file

    def erase(self, domain: str) -> bool:
        """Forget a registry's credential; False if there was none."""
        file = self.paths[0]
        document = _read(file)
        name = _helper_of(document, domain)
        erased = False
        if name:
            from pyrun.registry import credential_helper

            erased = credential_helper.erase(name, _server(domain))
        auths = _auths(document)
        keys = _keys(auths, domain)
        for key in keys:
            del auths[key]
        if keys:
            document["auths"] = auths
            _write(file, document)
        return erased or bool(keys)

    def _note(self, error: Exception) -> None:
        # An anonymous pull must not fail because a helper is broken; if the registry refuses, this is said.
        if str(error) not in self.problems:
            self.problems.append(str(error))

    def _ask(self, name: str, domain: str) -> Credential | None:
        from pyrun.registry import credential_helper  # imports subprocess: only for those who have a helper

        try:
            answer = credential_helper.get(name, _server(domain))
        except AuthenticationError as error:
            self._note(error)
            return None
        if answer is None:
            return None
        user, secret = answer
        return Credential("", "", secret) if user == "<token>" else Credential(user, secret)


def default_paths() -> list[str]:
    """List the credential files, most important first; the first is the one that login writes."""
    chosen = os.environ.get("REGISTRY_AUTH_FILE")
    if chosen:
        return [chosen]
    home = os.path.expanduser("~")
    docker = os.environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    paths = [os.path.join(docker, "config.json")]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        paths.append(os.path.join(runtime, "containers/auth.json"))
    return [*paths, os.path.join(config, "containers/auth.json")]


def _read(file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as stream:
            data = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot read credentials: {file}: {reason}", path=file) from error
    if not data.strip():
        return {}  # docker takes an empty file as a fresh one
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidConfigError(file, "", str(error), hint="mend the file, or move it away and log in again") from None
    if not isinstance(document, dict):
        raise InvalidConfigError(file, "", "expected an object")
    return document


def _write(file: str, document: dict[str, Any]) -> None:
    from json import dumps  # login only: docker indents this file with tabs, and people edit it

    file = os.path.realpath(file)  # a link into a dotfiles repository stays a link
    directory = os.path.dirname(file)
    temporary = f"{file}.{os.getpid()}.tmp"
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "w", encoding="utf-8") as stream:
                stream.write(dumps(document, indent="\t", ensure_ascii=False))
                stream.flush()
                os.fsync(fd)
            os.rename(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot write credentials: {file}: {reason}", path=file) from error


def _auths(document: dict[str, Any]) -> dict[str, Any]:
    auths = document.get("auths")
    return auths if isinstance(auths, dict) else {}


def _server(domain: str) -> str:
    return _HUB_SERVER if domain == DOCKER_HUB else domain


def _normal(key: str) -> str:
    """Bring a key (``https://host/v1/``, ``host/namespace``) to ``domain[/path]``."""
    host, _, path = key.partition("://")[2].partition("/") if "://" in key else key.partition("/")
    path = path.strip("/")
    if host in _HUB_ALIASES:
        host = DOCKER_HUB
    return host if path in ("", "v1", "v2") else f"{host}/{path}"


def _keys(auths: dict[str, Any], domain: str) -> list[str]:
    return [key for key in auths if _normal(key) == domain]


def _helper_of(document: dict[str, Any], domain: str) -> str:
    helpers = document.get("credHelpers")
    if isinstance(helpers, dict):
        for key, name in helpers.items():
            if _normal(key) == domain and isinstance(name, str):
                return name
    name = document.get("credsStore")
    return name if isinstance(name, str) else ""


def _entry(file: str, document: dict[str, Any], domain: str, path: str) -> Credential | None:
    """Find the longest key that covers the repository."""
    auths = _auths(document)
    wanted = f"{domain}/{path}" if path else domain
    while True:
        for key in auths:
            if _normal(key) == wanted:
                found = _credential(file, key, auths[key])
                if found is not None:
                    return found
        if wanted == domain:
            return None
        wanted = wanted.rpartition("/")[0]


def _credential(file: str, key: str, entry: object) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    user, password = entry.get("username") or "", entry.get("password") or ""
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
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential(user, "", token)
    if user and isinstance(user, str) and isinstance(password, str):
        return Credential(user, password)
    return None
