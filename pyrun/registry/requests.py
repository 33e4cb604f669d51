"""Requests to one registry: TLS or not, authorization, redirects, retries.

It must not know of manifests or blobs (client.py). Credentials go to the registry's own origin, and to the token
service that it names; never to a host that it redirects to.
"""

from __future__ import annotations

from pyrun.errors import InvalidReferenceError, RegistryError, RegistryUnreachableError
from pyrun.oci.media_types import essence
from pyrun.registry.answers import Asker, denied, error_of
from pyrun.registry.authorizer import Authorizer, RefusedError
from pyrun.registry.credentials import CredentialStore
from pyrun.registry.retry import RETRIED, Retry
from pyrun.registry.transport import DroppedError, Response, Transport
from pyrun.registry.trust import Trust
from pyrun.registry.unreachable import is_refused_by_tls
from pyrun.registry.url import INSECURE_VARIABLE, Url, authority_of, split_authority

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 6
_MAX_CHALLENGES = 2  # an expired token, then a fresh one
_FOUND = (200,)
# distribution-spec 1.1, and docker's API before it.
_REGISTRYS = (
    "Docker-Distribution-API-Version",
    "Docker-Content-Digest",
    "Docker-Upload-UUID",
    "OCI-Subject",
    "Location",
)


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

    def abort(self) -> None:
        """End all requests, from another thread than theirs."""
        self.retry.stop()
        self._transport.abort()

    def send(
        self,
        method: str,
        target: str | Url,
        headers: dict[str, str],
        *,
        repository: str,
        what: str,
        scope: str = "",
        body: bytes | None = None,
        accepted: Container[int] = _FOUND,
    ) -> Response:
        """Send a request for ``target`` (a path with query, or where the registry pointed to) until it is answered.

        ``scope``: what a token is asked for, by default to pull from ``repository``. ``accepted``: what is success.
        Raises:
            RegistryError: refused, not found, unreachable, or failed too often; ``what`` names what was asked for.
        """
        scope = scope or (f"repository:{repository}:pull" if repository else "")
        failures = 0
        while True:
            try:
                answer = self._authorized(method, target, headers, repository, scope, what, body)
            except DroppedError as error:
                failures += 1
                if self.retry.pause(failures):
                    continue
                raise self.broken(what, error, failures) from error
            if answer.status in accepted:
                self._refuse_page(answer, what)
                return answer
            with answer:
                failures += 1
                retry_after = answer.headers.get("Retry-After")
                if answer.status not in RETRIED or not self.retry.pause(failures, retry_after):
                    raise self.error(answer, repository, scope, what)
                answer.drain()

    def _refuse_page(self, answer: Response, what: str) -> None:
        """Refuse a page for people as an answer: any web server may say 200 to whatever it is asked.

        A registry may call what it says text/html, too (quay does): then it says something else that only those do.
        """
        is_page = answer.status == 200 and media_type_of(answer) == "text/html"
        if is_page and self._is_own(answer.url) and not any(name in answer.headers for name in _REGISTRYS):
            answer.close()
            raise RegistryError(
                f"no registry: {self.domain}: it answers with a web page, asked for {what}", registry=self.domain,
                hint="is the address right, or does a proxy on the way want a login?",
            )  # fmt: skip

    def stream(
        self,
        method: str,
        url: Url,
        headers: dict[str, str],
        body: Iterable[bytes | memoryview] | None,
        *,
        scope: str,
        repository: str,
        what: str,
    ) -> Response:
        """Send a body that cannot be sent again, once; give the answer, whatever it is.

        A 401 of the registry's own has been answered by a fresh token then: the next request has it.
        Raises:
            DroppedError: the connection broke; AuthenticationError: there is no other token.
        """
        authorizer = self._authorizer(repository)
        is_own = self._is_own(url)
        used = authorizer.header(scope) if is_own else ""
        answer = self._transport.request(method, url, {**headers, **_authorization(used)}, body)
        if answer.status == 401 and is_own:
            with answer:
                self._authorize(authorizer, scope, answer, used, what)
        return answer

    def broken(self, what: str, error: Exception, failures: int) -> RegistryUnreachableError:
        """Make the error of a connection that broke too often."""
        message = f"registry failed: {what}: {error} ({failures} tries)"
        return RegistryUnreachableError(message, registry=self.domain, hint="try again later")

    def _authorized(
        self,
        method: str,
        target: str | Url,
        headers: dict[str, str],
        repository: str,
        scope: str,
        what: str,
        body: bytes | None,
    ) -> Response:
        """Answer the registry's challenges; gives any status but 401."""
        authorizer = self._authorizer(repository)
        for _ in range(_MAX_CHALLENGES + 1):
            if isinstance(target, Url) and not self._is_own(target):
                return self._follow(method, target, headers, body)
            used = authorizer.header(scope)
            sent = {**headers, **_authorization(used)}
            if isinstance(target, Url):
                answer = self._follow(method, target, sent, body)
            else:
                answer = self._first(method, target, sent, body)
            # A challenge is the registry's to make: a host that it redirects to would name its own token service.
            if answer.status != 401 or not self._is_own(answer.url):
                return answer
            with answer:
                self._authorize(authorizer, scope, answer, used, what)
        raise self._denied(authorizer, scope, what, "the registry refuses the token that it asked for")

    def _authorize(self, authorizer: Authorizer, scope: str, answer: Response, used: str, what: str) -> None:
        answer.drain()
        try:
            authorizer.authorize(scope, answer, used)
        except RefusedError as error:
            raise self._denied(authorizer, scope, what, str(error)) from error

    def _is_own(self, url: Url) -> bool:
        """Say whether a URL is the registry's own, which credentials may be sent to."""
        return url.origin == self._url(url.scheme, "").origin and url.scheme in self._schemes

    def _denied(self, authorizer: Authorizer, scope: str, what: str, reason: str) -> RegistryError:
        return denied(self._asker(authorizer, scope), what, reason, status=401)

    def _first(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Response:
        """Send with the scheme that the registry speaks; find out which, where two are allowed."""
        first, *others = self._schemes
        if not others:
            return self._via(first, method, target, headers, body)
        refusal: Response | None = None
        failure: Exception | None = None
        try:
            refusal = self._via(first, method, target, headers, body)
            if first == "https" or refusal.status != 400:  # 400: "client sent an HTTP request to an HTTPS server"
                self._schemes = [first]
                return refusal
        except (RegistryUnreachableError, DroppedError) as error:
            failure = error
        try:
            answer = self._via(others[0], method, target, headers, body)
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

    def _via(self, scheme: str, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Response:
        return self._follow(method, self._url(scheme, target), headers, body)

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

    def location(self, answer: Response, what: str) -> Url:
        """Give the place that an answer points to. Raises: RegistryError if it names none, or one that is refused."""
        location = answer.headers.get("Location")
        if not location:
            message = f"registry failed: {what}: its answer {answer.status} has no Location"
            raise RegistryError(message, registry=self.domain, status=answer.status)
        there = answer.url.join(location)
        self._check_plain(there, answer.url)
        return there

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
                own = split_authority(self.authority)[0] if self._schemes[0] == "http" else ""
                if not self.trust.allows_password(url, own):
                    message = f"refused: {self.authority} asks for credentials over plain HTTP at {url.authority}"
                    hint = f"set {INSECURE_VARIABLE}={url.authority} to allow it"
                    raise RegistryError(message, registry=self.domain, hint=hint)
                return self._waited_for(method, url, headers, body)

            fresh = Authorizer(self.domain, lambda: self.credentials.get(self.domain, repository), send_to_realm)
            authorizer = self._authorizers.setdefault(repository, fresh)
        return authorizer

    def _waited_for(self, method: str, url: Url, headers: dict[str, str], body: bytes | None) -> Response:
        """Ask a token service, again where it is only busy."""
        failures = 0
        while True:
            answer = self._follow(method, url, headers, body)
            failures += 1
            if answer.status not in RETRIED or not self.retry.pause(failures, answer.headers.get("Retry-After")):
                return answer
            with answer:
                answer.drain()

    def error(self, answer: Response, repository: str, scope: str, what: str) -> RegistryError:
        """Make the error for an answer that is no success."""
        return error_of(answer, self._asker(self._authorizer(repository), scope), what)

    def _asker(self, authorizer: Authorizer, scope: str) -> Asker:
        # The last word of a scope is what is asked for: "pull,push", "delete".
        is_pull = scope.partition(" ")[0].rpartition(":")[2] in ("pull", "")
        return Asker(self.domain, authorizer.has_credential, self.credentials.problems, is_pull=is_pull)


def _authorization(value: str) -> dict[str, str]:
    return {"Authorization": value} if value else {}


def media_type_of(answer: Response) -> str:
    """Give the media type that an answer was served as."""
    return essence(answer.headers.get("Content-Type") or "")
