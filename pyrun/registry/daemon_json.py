"""What docker's daemon.json says of registries: mirrors of Docker Hub, and hosts without TLS.

It must not know anything else of that file. Source: dockerd "registry-mirrors", "insecure-registries".
"""

from __future__ import annotations

from typing import Any

from pyrun.errors import InvalidConfigError
from pyrun.oci import json


def merge(merged: dict[str, Any], path: str, data: bytes) -> None:
    """Add the file's settings. Raises: InvalidConfigError (file, key, reason)."""
    try:
        document = json.loads(data) if data.strip() else {}
    except ValueError as error:
        raise InvalidConfigError(path, "", str(error)) from None
    if not isinstance(document, dict):
        raise InvalidConfigError(path, "", "expected an object")
    merged["insecure"] = _texts(path, document, "insecure-registries")
    merged["hub_mirrors"] = []
    for number, text in enumerate(_texts(path, document, "registry-mirrors")):
        scheme, separator, location = text.partition("://")
        if not separator or scheme not in ("http", "https") or not location.strip("/"):
            raise InvalidConfigError(path, f"/registry-mirrors/{number}", f"{text!r} is no http or https URL")
        merged["hub_mirrors"].append([location.rstrip("/"), scheme == "http", "all"])


def _texts(path: str, document: dict[str, Any], key: str) -> list[str]:
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise InvalidConfigError(path, f"/{key}", "expected an array of texts")
    return found
