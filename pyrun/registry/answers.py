"""What a registry's error answers mean, as this project's errors.

It must not know how a request was made. Source: distribution-spec 1.1 "Error Codes".
"""

from __future__ import annotations

from pyrun.errors import AuthenticationError, ManifestUnknownError, RegistryError, RegistryUnreachableError
from pyrun.oci import json
from pyrun.registry.transport import DroppedError, Response
from pyrun.registry.url import DOCKER_HUB

_ERROR_BYTES = 64 * 1024


def error_of(answer: Response, domain: str, what: str, *, has_credential: bool, problems: list[str]) -> RegistryError:
    """Make the error for an answer that is neither success nor redirect; ``what`` names what was asked for."""
    status, detail = answer.status, _detail(answer)
    if status in (401, 403):
        return denied(domain, what, detail, has_credential=has_credential, problems=problems, status=status)
    if status == 404:
        hint = "check the spelling of the name and the tag; a private repository needs `pyrun login`"
        return ManifestUnknownError(f"not found: {what}: {detail}", registry=domain, status=status, hint=hint)
    if status == 429:
        hint = "wait, then try again"
        if domain == DOCKER_HUB and not has_credential:
            hint = "Docker Hub limits anonymous pulls: log in with `pyrun login`, or wait"
        return RegistryError(f"too many requests: {what}: {detail}", registry=domain, status=status, hint=hint)
    message = f"registry failed: {what}: {detail}"
    if status >= 500:
        hint = "try again later"
        return RegistryUnreachableError(message, registry=domain, status=status, hint=hint)
    return RegistryError(message, registry=domain, status=status)


def denied(
    domain: str, what: str, detail: str, *, has_credential: bool, problems: list[str], status: int
) -> AuthenticationError:
    """Make the error of a refusal; registries do not tell a missing repository from a private one."""
    login = "pyrun login" if domain == DOCKER_HUB else f"pyrun login {domain}"
    if problems:
        hint = "; ".join(problems)
    elif has_credential:
        hint = f"the repository may not exist, or this user may not read it: log in as another with `{login}`"
    else:
        hint = f"the repository may not exist, or it is private: log in with `{login}`"
    return AuthenticationError(f"access denied: {what}: {detail}", registry=domain, status=status, hint=hint)


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
