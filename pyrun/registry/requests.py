"""Requests to one registry: TLS or not, authorization, redirects, retries.

It must not know of manifests or blobs (client.py). Credentials go to the registry's own origin, and to the token
service that it names; never to a host that it redirects to.
"""

from __future__ import annotations

from pyrun.errors import InvalidReferenceError, RegistryError, RegistryUnreachableError
from pyrun.oci.media_types import essence
from pyrun.registry.answers import denied, error_of
from pyrun.registry.authorizer import Authorizer, RefusedError
from pyrun.registry.credentials import CredentialStore
from pyrun.registry.retry import RETRIED, Retry
from pyrun.registry.transport import DroppedError, Response, Transport
from pyrun.registry.trust import Trust
from pyrun.registry.unreachable import is_refused_by_tls
from pyrun.registry.url import INSECURE_VARIABLE, Url, authority_of, split_authority

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 6
_MAX_CHALLENGES = 2  # an expired token, then a fresh one


class Requests:
    """Sends requests to the registry of one domain; usable from several threads at once."""

    __slots__ = ("_authorizers", "_schemes", "_transport", "authority", "credentials", "domain", "retry", "trust")

    def __init__(self, domain: str, credentials: CredentialStore, trust: Trust, user_agent: str, retry: Retry) -> None:
        if not domain:
            raise InvalidReferenceError(domain, "it names no registry")
        self.domain = domain
        self.authority = authority_of(domain)
        self.credentials = credentials
        self.trust = trust
        self.retry = retry
        self._transport = Transport(user_agent, trust)
        self._authorizers: dict[str, Authorizer] = {}
        self._schemes = trust.schemes(self.authority)

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def send(self, method: str, target: str, headers: dict[str, str], *, repository: str, what: str) -> Response:
        """Send a request for ``target`` (a path with query) and give its successful answer.

        Raises:
            RegistryError: refused, not found, unreachable, or failed too often; ``what`` names what was asked for.
        """
        failures = 0
        while True:
            try:
                answer = self._authorized(method, target, headers, repository, what)
            except DroppedError as error:
                failures += 1
                if self.retry.pause(failures):
                    continue
                raise self.broken(what, error, failures) from error
            if answer.status in (200, 206):
                return answer
            with answer:
                failures += 1
                retry_after = answer.headers.get("Retry-After")
                if answer.status not in RETRIED or not self.retry.pause(failures, retry_after):
                    raise self._error(answer, repository, what)
                answer.drain()

    def broken(self, what: str, error: Exception, failures: int) -> RegistryUnreachableError:
        """Make the error of a connection that broke too often."""
        message = f"registry failed: {what}: {error} ({failures} tries)"
        return RegistryUnreachableError(message, registry=self.domain, hint="try again later")

    def _authorized(self, method: str, target: str, headers: dict[str, str], repository: str, what: str) -> Response:
        """Answer the registry's challenges; gives any status but 401."""
        authorizer = self._authorizer(repository)
        scope = f"repository:{repository}:pull" if repository else ""
        for _ in range(_MAX_CHALLENGES + 1):
            used = authorizer.header(scope)
            authorization = {"Authorization": used} if used else {}
            answer = self._first(method, target, {**headers, **authorization})
            # A challenge is the registry's to make: a host that it redirects to would name its own token service.
            if answer.status != 401 or answer.url.origin != self._url(answer.url.scheme, "").origin:
                return answer
            with answer:
                answer.drain()
                try:
                    authorizer.authorize(scope, answer, used)
                except RefusedError as error:
                    raise self._denied(authorizer, what, str(error)) from error
        raise self._denied(authorizer, what, "the registry refuses the token that it asked for")

    def _denied(self, authorizer: Authorizer, what: str, reason: str) -> RegistryError:
        problems, has_credential = self.credentials.problems, authorizer.has_credential
        return denied(self.domain, what, reason, has_credential=has_credential, problems=problems, status=401)

    def _first(self, method: str, target: str, headers: dict[str, str]) -> Response:
        """Send with the scheme that the registry speaks; find out which, where two are allowed."""
        first, *others = self._schemes
        if not others:
            return self._via(first, method, target, headers)
        refusal: Response | None = None
        failure: Exception | None = None
        try:
            refusal = self._via(first, method, target, headers)
            if first == "https" or refusal.status != 400:  # 400: "client sent an HTTP request to an HTTPS server"
                self._schemes = [first]
                return refusal
        except (RegistryUnreachableError, DroppedError) as error:
            failure = error
        try:
            answer = self._via(others[0], method, target, headers)
        except Exception as error:
            is_no_answer = isinstance(error, (RegistryUnreachableError, DroppedError))
            if first == "http" and is_no_answer and not is_refused_by_tls(error.__cause__):
                # Plain HTTP after all: TLS's complaint would mislead.
                if refusal is not None:
                    return refusal
                raise (failure or error) from None
            if refusal is not None:
                refusal.close()
            raise
        if refusal is not None:
            refusal.close()
        self._schemes = others
        return answer

    def _via(self, scheme: str, method: str, target: str, headers: dict[str, str]) -> Response:
        return self._follow(method, self._url(scheme, target), headers)

    def _url(self, scheme: str, target: str) -> Url:
        host, port = split_authority(self.authority)
        return Url(scheme, host, port or (443 if scheme == "https" else 80), target)

    def _follow(self, method: str, url: Url, headers: dict[str, str], body: bytes | None = None) -> Response:
        """Send, and go where the registry points, without its credentials."""
        origin = url.origin
        for _ in range(_MAX_REDIRECTS):
            answer = self._transport.request(method, url, headers, body)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location or body is not None:
                return answer
            with answer:
                answer.drain()
                there = url.join(location)
            self._check_plain(there, url)
            if there.origin != origin:
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = there
        raise RegistryError(f"registry failed: {self.authority}: it redirects in circles", registry=self.domain)

    def _check_plain(self, there: Url, here: Url) -> None:
        """Refuse plain HTTP where it was not allowed, and a way from the network to this machine's services."""
        if there.scheme == "https" or here.scheme == "http" or self.trust.is_insecure(there):
            return
        hint = f"set {INSECURE_VARIABLE}={there.authority} to allow it"
        message = f"refused: {here.authority} points to plain HTTP: {there.authority}"
        raise RegistryError(message, registry=self.domain, hint=hint)

    def _authorizer(self, repository: str) -> Authorizer:
        authorizer = self._authorizers.get(repository)
        if authorizer is None:

            def send_to_realm(method: str, url: Url, headers: dict[str, str], body: bytes | None) -> Response:
                plain_allowed = self._schemes[0] == "http" or self.trust.is_insecure(url)
                if url.scheme == "http" and not plain_allowed:
                    message = f"refused: {self.authority} asks for credentials over plain HTTP at {url.authority}"
                    raise RegistryError(message, registry=self.domain)
                return self._follow(method, url, headers, body)

            fresh = Authorizer(self.domain, lambda: self.credentials.get(self.domain, repository), send_to_realm)
            authorizer = self._authorizers.setdefault(repository, fresh)
        return authorizer

    def _error(self, answer: Response, repository: str, what: str) -> RegistryError:
        has_credential = self._authorizer(repository).has_credential
        problems = self.credentials.problems
        return error_of(answer, self.domain, what, has_credential=has_credential, problems=problems)


def media_type_of(answer: Response) -> str:
    """Give the media type that an answer was served as."""
    return essence(answer.headers.get("Content-Type") or "")
