"""From the configuration files of registries to plain data that JSON can hold; what is wrong is said by file and key.

It must not know how the settings are used (config.py). Cold: tomllib costs 11 ms.
Keys that are not known are left alone, as containers-registries.conf(5) grows.
"""

from __future__ import annotations

import tomllib
from typing import Any

from pyrun.errors import InvalidConfigError, InvalidReferenceError, StoreError
from pyrun.oci import reference as references
from pyrun.registry import daemon_json, settings

MODES = ("", "enforcing", "permissive", "disabled")
WHEN = ("", "all", "digest-only", "tag-only")


def parse(listed: list[tuple[str, str]]) -> dict[str, Any]:
    """Read the files and merge them: a later setting overwrites an earlier one, tables by their prefix.

    Raises: InvalidConfigError (file, key, reason); StoreError for a file that cannot be read.
    """
    merged = _nothing()
    for kind, path in listed:
        is_named = kind == settings.DROP_IN or (kind == settings.MAIN and path != f"{settings.SYSTEM}/{_USUAL}")
        data = _read(path, must_exist=is_named)
        if data is None:
            continue
        if kind == settings.DAEMON:
            daemon_json.merge(merged, path, data)
        else:
            _merge(merged, _File(path, data, aliases_only=kind == settings.RECORDED))
    return _flat(merged)


def parse_bytes(path: str, data: bytes) -> dict[str, Any]:
    """Read one registries.conf alone. Raises: InvalidConfigError."""
    merged = _nothing()
    _merge(merged, _File(path, data, aliases_only=False))
    return _flat(merged)


def _nothing() -> dict[str, Any]:
    return {
        "registries": {}, "search": [], "search_file": "", "mode": "", "aliases": {}, "helpers": [], "hub_mirrors": [],
        "insecure": [],
    }  # fmt: skip


def _flat(merged: dict[str, Any]) -> dict[str, Any]:
    return {**merged, "registries": list(merged["registries"].values())}


_USUAL = "containers/registries.conf"


def _read(path: str, *, must_exist: bool) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        if must_exist:
            raise StoreError(f"cannot read registry configuration: {path}: no such file", path=path) from error
        return None
    except NotADirectoryError:
        return None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise StoreError(f"cannot read registry configuration: {path}: {reason}", path=path) from error


class _File:
    """One TOML file: gives its keys with the type that they must have."""

    def __init__(self, path: str, data: bytes, *, aliases_only: bool) -> None:
        self.path = path
        try:
            self.document = tomllib.loads(data.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.wrong("", f"no TOML: {str(error)[:1].lower()}{str(error)[1:]}") from None
        if aliases_only:
            self.document = {"aliases": self.document.get("aliases", {})}
        if "registries" in self.document:
            raise InvalidConfigError(
                path,
                "/registries",
                "this is version 1 of the format, which is not read",
                hint="write unqualified-search-registries and [[registry]] instead: containers-registries.conf(5)",
            )

    def wrong(self, pointer: str, reason: str) -> InvalidConfigError:
        return InvalidConfigError(self.path, pointer, reason)

    def get(self, table: dict[str, Any], pointer: str, key: str, kind: type, default: Any) -> Any:
        value = table.get(key, default)
        if type(value) is not kind:
            raise self.wrong(f"{pointer}/{key}", f"expected {_KINDS[kind]}, found {value!r:.60}")
        return value

    def texts(self, key: str) -> list[str]:
        found: list[str] = self.get(self.document, "", key, list, [])
        for number, text in enumerate(found):
            if not isinstance(text, str):
                raise self.wrong(f"/{key}/{number}", f"expected a text, found {text!r:.60}")
        return found


_KINDS = {bool: "true or false", str: "a text", list: "an array", dict: "a table"}


def _merge(merged: dict[str, Any], file: _File) -> None:
    if "unqualified-search-registries" in file.document:
        merged["search"] = [
            _location(file, f"/unqualified-search-registries/{number}", text)
            for number, text in enumerate(file.texts("unqualified-search-registries"))
        ]
        merged["search_file"] = file.path
    if "credential-helpers" in file.document:
        merged["helpers"] = file.texts("credential-helpers")
    mode = file.get(file.document, "", "short-name-mode", str, "")
    if mode not in MODES:
        raise file.wrong("/short-name-mode", f"{mode!r} is none of {', '.join(MODES[1:])}")
    merged["mode"] = mode or merged["mode"]
    for name, value in file.get(file.document, "", "aliases", dict, {}).items():
        _merge_alias(merged["aliases"], file, name, value)
    seen: set[str] = set()
    for number, table in enumerate(file.get(file.document, "", "registry", list, [])):
        found = _registry(file, f"/registry/{number}", table)
        if found["prefix"] in seen:
            raise file.wrong(f"/registry/{number}", f"the prefix {found['prefix']} is there twice")
        seen.add(found["prefix"])
        merged["registries"][found["prefix"]] = found


def _merge_alias(aliases: dict[str, list[str]], file: _File, name: str, value: object) -> None:
    pointer = f"/aliases/{name}"
    if not isinstance(value, str):
        raise file.wrong(pointer, f"expected a text, found {value!r:.60}")
    if not value:  # containers-registries.conf(5): an empty one erases
        aliases.pop(name, None)
        return
    try:
        short, full = references.parse_normalized(name), references.parse_normalized(value)
    except InvalidReferenceError as error:
        raise file.wrong(pointer, error.reason) from None
    if not references.is_short(name) or references.is_short(value):
        raise file.wrong(pointer, "expected a name without a registry, and one with it")
    if short.tag or short.digest or full.tag or full.digest:
        raise file.wrong(pointer, "neither side may have a tag or a digest")
    aliases[name] = [full.name, file.path]


def _registry(file: _File, pointer: str, table: object) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise file.wrong(pointer, "expected a table: [[registry]]")
    prefix = file.get(table, pointer, "prefix", str, "")
    location = file.get(table, pointer, "location", str, "")
    if location:
        location = _location(file, f"{pointer}/location", location)
    if prefix.startswith("*."):
        if not references.is_host(prefix[2:]) or ":" in prefix:
            raise file.wrong(f"{pointer}/prefix", f"{prefix!r} is not of the form *.example.com")
    elif prefix:
        prefix = _location(file, f"{pointer}/prefix", prefix)
        if not location:
            raise file.wrong(f"{pointer}/location", f"it is missing: where is {prefix}?")
    elif not location:
        raise file.wrong(pointer, "it has neither a prefix nor a location")
    digest_only = file.get(table, pointer, "mirror-by-digest-only", bool, False)
    mirrors = [
        _mirror(file, f"{pointer}/mirror/{number}", mirror, digest_only=digest_only)
        for number, mirror in enumerate(file.get(table, pointer, "mirror", list, []))
    ]
    host, slash, path = (prefix or location).partition("/")
    return {
        "prefix": f"{host.lower()}{slash}{path}",  # as config.py compares it
        "location": location,
        "insecure": file.get(table, pointer, "insecure", bool, False),
        "blocked": file.get(table, pointer, "blocked", bool, False),
        "mirrors": mirrors,
        "file": file.path,
    }


def _mirror(file: _File, pointer: str, table: object, *, digest_only: bool) -> list[str | bool]:
    """Return location, insecure, and for which pulls it is."""
    if not isinstance(table, dict):
        raise file.wrong(pointer, "expected a table: [[registry.mirror]]")
    location = _location(file, f"{pointer}/location", file.get(table, pointer, "location", str, ""))
    when = file.get(table, pointer, "pull-from-mirror", str, "")
    if when not in WHEN:
        raise file.wrong(f"{pointer}/pull-from-mirror", f"{when!r} is none of {', '.join(WHEN[1:])}")
    if when and digest_only:
        raise file.wrong(f"{pointer}/pull-from-mirror", "it cannot be combined with mirror-by-digest-only")
    insecure = file.get(table, pointer, "insecure", bool, False)
    return [location, insecure, "digest-only" if digest_only else when or "all"]


def _location(file: _File, pointer: str, text: str) -> str:
    """Check ``host[:port][/path]``, for a prefix also with a tag or digest; give it without a slash at its end."""
    if "://" in text:
        raise file.wrong(pointer, f"{text!r} must not begin with {text.partition('://')[0]}://")
    text = text.rstrip("/")
    host, slash, _ = text.partition("/")
    try:
        if not references.is_host(host):
            raise InvalidReferenceError(text, "no host[:port]")
        if slash:
            references.parse(text)
    except InvalidReferenceError as error:
        raise file.wrong(pointer, f"{text!r}: {error.reason}") from None
    return text
