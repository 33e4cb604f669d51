"""Answers to a registry's 401: Docker's token protocol, or Basic.

It must not know of manifests or blobs. Source: distribution "Token Authentication Specification" and
"Docker Registry v2 Bearer token scope".
"""

from __future__ import annotations

import threading
import time
from urllib.parse import urlencode

from pyrun.errors import RegistryError
from pyrun.oci import json
from pyrun.registry.challenge import Challenge, parse_challenges
from pyrun.registry.retry import RETRIED
from pyrun.registry.transport import Response
from pyrun.registry.url import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.registry.credentials import Credential

    # method, url, headers, body -> the answer, redirects followed, without authorization for other origins
    Send = Callable[[str, Url, dict[str, str], bytes | None], Response]

_TOKEN_BYTES = 1024 * 1024
_DEFAULT_SECONDS = 60  # "if omitted, this defaults to 60 seconds"
_MARGIN_SECONDS = 10
_CLIENT_ID = "pyrun"


class RefusedError(Exception):
    """There is no answer to a challenge other than the one that was refused; the text says why."""


class Authorizer:
    """Authorization headers of one registry, by scope; usable from several threads at once.

    ``find_credential`` is asked once, and only after the registry has refused an anonymous request.
    """

    __slots__ = ("_credential", "_find", "_headers", "_is_found", "_lock", "_send", "registry")

    def __init__(self, registry: str, find_credential: Callable[[], Credential | None], send: Send) -> None:
        self.registry = registry
        self._find = find_credential
        self._send = send
        self._lock = threading.Lock()
        self._credential: Credential | None = None
        self._is_found = False
        self._headers: dict[str, tuple[str, float]] = {}

    @property
    def has_credential(self) -> bool:
        """Say whether a credential was found for this registry."""
        return self._credential is not None

    def header(self, scope: str) -> str:
        """Give the Authorization header that worked last for a scope, or an empty text."""
        value, expires = self._headers.get(scope, ("", 0.0))
        return value if time.monotonic() < expires else ""

    def authorize(self, scope: str, refused: Response, used: str) -> str:
        """Give a header that answers a 401; ``used`` is the header of the refused request.

        Raises:
            RefusedError: there is no other answer than the one that was refused.
            RegistryError: the token service failed.
        """
        challenges = parse_challenges(", ".join(refused.headers.get_all("WWW-Authenticate") or []))
        with self._lock:
            known = self.header(scope)
            if known and known != used:
                return known  # another thread was refused too, and has a fresh one
            if not self._is_found:
                self._credential, self._is_found = self._find(), True
            value, seconds = self._answer(challenges, scope, used)
            self._headers[scope] = (value, time.monotonic() + seconds)
            return value

    def _answer(self, challenges: list[Challenge], scope: str, used: str) -> tuple[str, float]:
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        bearer = by_scheme.get("bearer")
        if self._credential is not None and self._credential.registry_token:
            value = f"Bearer {self._credential.registry_token}"
            if value == used:
                raise RefusedError("the registry token is not accepted")
            return value, float("inf")
        if bearer is not None and bearer.parameters.get("realm"):
            return self._token(bearer.parameters, scope)
        if "basic" not in by_scheme:
            names = ", ".join(sorted(by_scheme)) or "none"
            raise RefusedError(f"the registry asks for no scheme that is known (offered: {names})")
        if self._credential is None or not self._credential.password:
            raise RefusedError("the registry asks for a user name and password")
        if self._credential.basic == used:
            raise RefusedError("wrong user name or password")
        return self._credential.basic, float("inf")

    def _token(self, parameters: dict[str, str], scope: str) -> tuple[str, float]:
        realm = Url.parse(parameters["realm"])
        credential = self._credential
        scopes = parameters.get("scope") or scope
        fields = {"service": parameters["service"]} if parameters.get("service") else {}
        headers: dict[str, str] = {}
        body = None
        if credential is not None and credential.identity_token:
            fields |= {"grant_type": "refresh_token", "refresh_token": credential.identity_token}
            fields |= {"client_id": _CLIENT_ID, "scope": scopes}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields).encode()
        else:
            if credential is not None:
                fields["account"] = credential.user
                headers["Authorization"] = credential.basic
                if credential.is_offered:  # docker login: a token to keep in place of the password, where there is one
                    fields |= {"offline_token": "true", "client_id": _CLIENT_ID}
            separator = "&" if "?" in realm.target else "?"
            # The token specification repeats the parameter, OAuth2 (RFC 6749 section 3.3) has one with spaces.
            realm.target += separator + urlencode([*fields.items(), *(("scope", one) for one in scopes.split())])
        with self._send("POST" if body else "GET", realm, headers, body) as answer:
            return self._read_token(answer)

    def _read_token(self, answer: Response) -> tuple[str, float]:
        credential = self._credential
        if answer.status in (400, 401, 403):
            answer.drain()
            if credential is None:
                raise RefusedError("the registry refuses anonymous access")
            is_token = bool(credential.identity_token)
            raise RefusedError("the identity token is not accepted" if is_token else "wrong user name or password")
        if answer.status != 200:
            reason = f"its token service answered {answer.status}"
            raise RegistryError(
                f"cannot log in to registry: {self.registry}: {reason}", registry=self.registry, status=answer.status,
                hint="try again later" if answer.status in RETRIED else "",
            )  # fmt: skip
        try:
            document = json.loads(answer.read(_TOKEN_BYTES))
            token = document.get("token") or document.get("access_token")
            seconds = float(document.get("expires_in") or _DEFAULT_SECONDS)
            granted = document.get("refresh_token")
        except (ValueError, TypeError, AttributeError, OverflowError):
            token, seconds, granted = None, 0.0, None
        # A token goes into a header: nothing in it may end the line.
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise RegistryError(
                f"cannot log in to registry: {self.registry}: its token service answered no token",
                registry=self.registry,
            )
        if credential is not None and credential.is_offered and isinstance(granted, str):
            credential.granted_token = granted
        return f"Bearer {token}", max(5.0, seconds - _MARGIN_SECONDS)  # in this order also for NaN
