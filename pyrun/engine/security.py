"""``--security-opt``: docker's words to decisions."""

from __future__ import annotations

from pyrun.errors import InvalidInputError, UnsupportedFlagError


class SecurityOptions:
    """``seccomp``: default, unconfined, or the path of a profile."""

    __slots__ = ("no_new_privs", "seccomp", "unmasked")

    def __init__(self) -> None:
        self.seccomp = "default"
        self.no_new_privs = False
        self.unmasked = False


def parse(texts: list[str]) -> SecurityOptions:
    """Read every ``--security-opt``; ``key=value`` or, as docker still does, ``key:value``."""
    options = SecurityOptions()
    for text in texts:
        key, _, value = text.partition("=") if "=" in text else text.partition(":")
        if key == "no-new-privileges" and value in ("", "true", "false"):
            options.no_new_privs = value != "false"
        elif key == "seccomp" and value:
            options.seccomp = "default" if value == "builtin" else value
        elif key == "systempaths" and value == "unconfined":
            options.unmasked = True
        elif (key, value) in (("apparmor", "unconfined"), ("label", "disable")):
            continue  # no profile and no label is set anyway
        elif key in ("apparmor", "label", "writable-cgroups"):
            raise UnsupportedFlagError(f"--security-opt {key}")
        else:
            raise InvalidInputError(f'invalid --security-opt: "{text}"')
    return options
