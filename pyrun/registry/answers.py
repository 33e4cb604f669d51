"""What a registry's error answers mean, as this project's errors.

It must not know how a request was made. Source: distribution-spec 1.1 "Error Codes".
"""

from __future__ import annotations

from pyrun.errors import AuthenticationError, ManifestUnknownError, RegistryError, RegistryUnreachableError
from pyrun.oci import json
from pyrun.registry.retry import seconds_of
from pyrun.registry.transport import DroppedError, Response
from pyrun.registry.url import DOCKER_HUB

_ERROR_BYTES = 64 * 1024
_DAY_SECONDS = 86400


class Asker:
    """Who asked a registry, and for what: to read, or to change something (``is_pull`` is False)."""

    __slots__ = ("domain", "has_credential", "is_pull", "problems")

    def __init__(self, domain: str, has_credential: bool, problems: list[str], *, is_pull: bool) -> None:
        self.domain = domain
        self.has_credential = has_credential
        self.problems = problems
        self.is_pull = is_pull


def error_of(answer: Response, asker: Asker, what: str) -> RegistryError:
    """Make the error for an answer that is neither success nor redirect; ``what`` names what was asked for."""
    status, detail, domain = answer.status, _detail(answer), asker.domain
    if status in (401, 403):
        return denied(asker, what, detail, status=status)
    if status == 429:
        hint = _too_many_hint(asker, answer.headers.get("Retry-After"))
        return RegistryError(f"too many requests: {what}: {detail}", registry=domain, status=status, hint=hint)
    if status == 404:
        hint = "check the spelling of the name and the tag; a private repository needs `pyrun login`"
        if detail == f"status {status}":  # no word of a registry's
            hint = f"is {domain} a registry? {hint}"
        if not asker.is_pull:
            hint = "some registries want the repository to be made on their site first"
        return ManifestUnknownError(f"not found: {what}: {detail}", registry=domain, status=status, hint=hint)
    if status == 407:
        hint = "give the proxy's user and password: HTTP_PROXY=http://USER:PASSWORD@HOST:PORT"
        return RegistryError(f"the proxy refuses: {what}: {detail}", registry=domain, status=status, hint=hint)
    message = f"registry failed: {what}: {detail}"
    if status == 501:
        return RegistryError(message, registry=domain, status=status, hint=f"is {domain} a registry?")
    if status >= 500:
        return RegistryUnreachableError(message, registry=domain, status=status, hint="try again later")
    return RegistryError(
        message, registry=domain, status=status, hint="" if asker.is_pull else _REFUSED.get(status, "")
    )


# Why a registry, or a proxy before it, takes nothing.
_REFUSED = {
    405: "the registry is read-only: a mirror, or under maintenance",
    413: "a limit of the registry, or of a proxy before it (nginx: client_max_body_size), is smaller than this",
}


def denied(asker: Asker, what: str, detail: str, *, status: int) -> AuthenticationError:
    """Make the error of a refusal; registries do not tell a missing repository from a private one."""
    login = "pyrun login" if asker.domain == DOCKER_HUB else f"pyrun login {asker.domain}"
    if asker.problems:
        hint = "; ".join(asker.problems)
    elif asker.has_credential and asker.is_pull:
        hint = f"the repository may not exist, or this user may not read it: log in as another with `{login}`"
    elif asker.has_credential:
        hint = f"this user may not write there: check the repository's name, or log in as another with `{login}`"
    elif asker.is_pull:
        hint = f"the repository may not exist, or it is private: log in with `{login}`"
    else:
        hint = f"not logged in: `{login}`"
    return AuthenticationError(f"access denied: {what}: {detail}", registry=asker.domain, status=status, hint=hint)


def _too_many_hint(asker: Asker, retry_after: str | None) -> str:
    if asker.domain == DOCKER_HUB and asker.is_pull and not asker.has_credential:
        return "Docker Hub limits anonymous pulls: log in with `pyrun login`, or wait"
    seconds = seconds_of(retry_after)
    if not seconds:
        return "wait, then try again"
    return f"it asks to wait for {f'{seconds:.0f} seconds' if seconds <= _DAY_SECONDS else 'more than a day'}"


def _detail(answer: Response) -> str:
    """Give the registry's own words, in one printable line, or the status."""
    words = ""
    try:
        document = json.loads(answer.read(_ERROR_BYTES)[:_ERROR_BYTES])
        first = document["errors"][0]
        code = str(first.get("code", "")).lower().replace("_", " ")
        message = str(first.get("message", ""))
        words = message if code in message.lower() else f"{code}: {message}".strip(": ")
    except (DroppedError, ValueError, LookupError, TypeError, AttributeError):
        words = ""  # no body in the form of the specification: the status must do
    words = "".join(character if character.isprintable() else " " for character in words[:300]).strip()
    return words or f"status {answer.status}"
