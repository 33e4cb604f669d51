"""What `info` says of registries: mirrors, what may go without TLS, what is blocked, the signature policy in force.

It must not print. A broken file is told, it does not keep `info` from telling the rest.
"""

from __future__ import annotations

from typing import Any

from pyrun.engine import judgement, sources
from pyrun.errors import PyrunError
from pyrun.images import resolve
from pyrun.oci.reference import DEFAULT_DOMAIN

LOOPBACK = ("::1/128", "127.0.0.0/8")  # as docker lists them: never declared, always so


class RegistryInfo:
    """``lists``: (heading, lines) to show, in docker's order; ``config``: docker's RegistryConfig."""

    __slots__ = ("config", "lists")

    def __init__(self, lists: list[tuple[str, list[str]]], config: dict[str, Any]) -> None:
        self.lists = lists
        self.config = config


def registry_info() -> RegistryInfo:
    """Return what is in effect."""
    found = _registries()
    found.lists.append(("Signature Policy", [signature_policy()]))
    return found


def signature_policy() -> str:
    """Return the file in force and what it asks for by default, or why nothing is accepted."""
    try:
        path = resolve.policy_file()
        return f"{path} (default: {judgement.default_of(path)})" if path else "none: every image is accepted"
    except PyrunError as error:
        return f"nothing is accepted: {error.message}"


def _registries() -> RegistryInfo:
    try:
        found = sources.configuration()
    except PyrunError as error:
        return RegistryInfo([("Registry Configuration", [error.message])], _registry_config({}, []))
    mirrors, insecure = found.mirrors(), found.insecure()
    lists = [
        ("Insecure Registries", [*insecure, *LOOPBACK]),
        ("Registry Mirrors", _mirror_lines(mirrors)),
        ("Blocked Registries", found.blocked()),
        ("Search Registries", found.search),
        ("Registry Configuration", found.files),
    ]
    return RegistryInfo([(heading, lines) for heading, lines in lists if lines], _registry_config(mirrors, insecure))


def _mirror_lines(mirrors: dict[str, list[tuple[str, bool]]]) -> list[str]:
    return [
        _url(location, insecure=insecure) + ("" if prefix == DEFAULT_DOMAIN else f" (of {prefix})")
        for prefix, rows in mirrors.items()
        for location, insecure in rows
    ]


def _registry_config(mirrors: dict[str, list[tuple[str, bool]]], insecure: list[str]) -> dict[str, Any]:
    of_hub = [_url(location, insecure=is_insecure) for location, is_insecure in mirrors.get(DEFAULT_DOMAIN, [])]
    indexes = {DEFAULT_DOMAIN: _index(DEFAULT_DOMAIN, of_hub, is_secure=DEFAULT_DOMAIN not in insecure)}
    networks = [name for name in insecure if "/" in name and name[0].isdigit()]
    for name in insecure:
        if name not in networks:
            indexes[name] = _index(name, [], is_secure=False)
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "IndexConfigs": indexes,
        "InsecureRegistryCIDRs": [*networks, *LOOPBACK],
        "Mirrors": of_hub or None,
    }


def _index(name: str, mirrors: list[str], *, is_secure: bool) -> dict[str, Any]:
    return {"Mirrors": mirrors, "Name": name, "Official": name == DEFAULT_DOMAIN, "Secure": is_secure}


def _url(location: str, *, insecure: bool) -> str:
    return f"{'http' if insecure else 'https'}://{location}/"
