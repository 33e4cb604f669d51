"""A repository that several places have: its mirrors, and in the end the registry itself.

It must not know how they are found (registry/config.py). What one place lacks, refuses or gives with a wrong digest is
asked of the next; each is asked with its own credentials alone. Blobs are verified by their reader (`distrust`).
"""

from __future__ import annotations

from pyrun.errors import IntegrityError, InvalidInputError, RegistryError, RegistryUnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import TypeVar

    from pyrun.engine.sources import RegistrySource
    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.oci.signature import Signature

    Found = TypeVar("Found")

# What a place can do wrong: all of it is said if the last one fails too.
FAILURES = (RegistryError, IntegrityError, InvalidInputError)


class MirroredSource:
    """The places in order; what is not there is looked for in the next. Usable from several threads at once."""

    __slots__ = ("_down", "_first", "_gave", "_places")

    def __init__(self, places: list[RegistrySource]) -> None:
        self._places = places
        self._first = 0  # the place that had the manifest: those before it have not got the image
        self._down: set[int] = set()
        self._gave: dict[str, set[int]] = {}  # digest -> the places that its bytes came from

    def head(self, reference: Reference) -> str:
        """Ask the first place that answers for the digest; empty if it does not tell. Raises: as `resolve`."""
        return self._ask(lambda place, _: place.head(reference))

    def tags(self) -> list[str]:
        """List the tags that the first place knows that knows any. Raises: as `resolve`."""
        return self._ask(lambda place, _: [*place.tags()])

    def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Fetch what the reference names from the first place that has it. Raises: what the last one raises."""

        def ask(place: RegistrySource, number: int) -> tuple[Descriptor, bytes]:
            found = place.resolve(reference)
            self._first = number
            return found

        return self._ask(ask)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Fetch a manifest by digest, verified. Raises: as `resolve`."""
        return self._ask(lambda place, _: place.manifest(descriptor))

    def blob(self, descriptor: Descriptor) -> bytes:
        """Fetch a small blob whole, verified. Raises: as `resolve`."""
        return self._ask(lambda place, _: place.blob(descriptor))

    def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
        """Give a blob's bytes from ``offset`` on; another place goes on where one breaks off. Raises: as `resolve`."""
        notes: list[str] = []
        for number in self._order():
            chunks = self._places[number].chunks(descriptor, offset)
            self._gave.setdefault(descriptor.digest, set()).add(number)
            try:
                for chunk in chunks:
                    offset += len(chunk)
                    yield chunk
                return
            except FAILURES as error:
                self._failed(number, error, notes)
            finally:
                chunks.close()  # by hand: the traceback of an error would keep the connection

    def distrust(self, descriptor: Descriptor) -> bool:
        """Pass over the mirrors whose bytes of a blob proved wrong; False if they are the registry's own."""
        liars = self._gave.pop(descriptor.digest, set()) - {len(self._places) - 1}
        self._down |= liars
        return bool(liars)

    def abort(self) -> None:
        """End all requests, from another thread than theirs."""
        for place in self._places:
            place.abort()

    def signatures(self, digest: str) -> Iterator[Signature]:
        """Give the signatures that any of the places has: a mirror may have been made without. Raises: as `resolve`."""
        notes: list[str] = []
        for number in self._order():
            try:
                yield from self._places[number].signatures(digest)
            except FAILURES as error:
                self._failed(number, error, notes)

    def close(self) -> None:
        """Close the connections."""
        for place in self._places:
            place.close()

    def _ask(self, question: Callable[[RegistrySource, int], Found]) -> Found:
        notes: list[str] = []
        for number in self._order():
            try:
                return question(self._places[number], number)
            except FAILURES as error:
                self._failed(number, error, notes)
        raise AssertionError("the last place's failure is raised")

    def _order(self) -> list[int]:
        """List the places to ask. The last one is the registry itself, which is never left out."""
        last = len(self._places) - 1
        return [number for number in range(self._first, last + 1) if number == last or number not in self._down]

    def _failed(self, number: int, error: Exception, notes: list[str]) -> None:
        """Note a mirror's failure; raise the last place's, with those of the mirrors beside it."""
        if number == len(self._places) - 1:
            for note in notes:
                error.add_note(note)
            raise error
        if isinstance(error, RegistryUnreachableError):
            self._down.add(number)  # each layer would wait for it again
        notes.append(f"mirror {self._places[number].domain}: {error}")
