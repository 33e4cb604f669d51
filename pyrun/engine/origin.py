"""Where an image comes from, in the words of a signature policy.

It must not know what the policy asks for (judgement.py).
"""

from __future__ import annotations

import os

from pyrun.oci import reference as references
from pyrun.trust import policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.oci.reference import Reference

_HERE = "here"  # no transport of the specification: no policy can name it


class Origin:
    """Where an image comes from, as a policy names it. ``reference``: its name, None where the place gives none."""

    __slots__ = ("name", "path", "reference", "transport")

    def __init__(self, transport: str, path: str, reference: Reference | None) -> None:
        self.transport = transport
        self.path = path
        self.name = reference.string if reference is not None else f"{transport}:{path or 'standard input'}"
        self.reference = reference.pinned() if reference is not None else None  # with a digest the tag proves nothing

    @classmethod
    def registry(cls, reference: Reference) -> Origin:
        """Describe an image of a registry, by the name that was asked for (not that of a mirror)."""
        return cls(policy.DOCKER, "", reference)

    @classmethod
    def file(cls, transport: str, path: str) -> Origin:
        """Describe one of a file or directory, or (an empty path) of a pipe, which no scope but "" can name.

        ``transport``: docker-archive, oci-archive or oci.
        """
        return cls(transport, os.path.realpath(path) if path else "", None)

    @classmethod
    def tarball(cls, source: str) -> Origin:
        """Describe the root file system that an image is made of: a file, a URL, or "" for standard input.

        So does podman, whose transport it is (containers-policy.json(5)); it has no scope but "".
        """
        return cls("tarball", source if "://" in source or not source else os.path.realpath(source), None)

    @classmethod
    def here(cls) -> Origin:
        """Describe an image that was made here, of what is here: it is not judged, wherever it was pushed to."""
        return cls(_HERE, "", None)

    @property
    def is_here(self) -> bool:
        """Say whether it was made here."""
        return self.transport == _HERE

    @classmethod
    def of_row(cls, row: list[str]) -> Origin:
        """Read what `row` has written."""
        transport, place = row
        return cls.registry(references.parse(place)) if transport == policy.DOCKER else cls(transport, place, None)

    @property
    def row(self) -> list[str]:
        """What is kept of it beside an image."""
        return [self.transport, self.path if self.reference is None else self.name]

    @property
    def scopes(self) -> list[str]:
        """Its scopes, the narrowest first."""
        if self.reference is not None:
            name = self.reference
            return policy.docker_scopes(name.domain, name.path, name.tag, name.digest)
        return policy.path_scopes(self.path) if self.path else []
