"""One blob on its way into a repository: whole in one request where it is small, else by a session that can be resumed.

It must not know where the bytes come from, nor what they are. They are hashed as they are sent: a blob whose bytes are
not those of its digest is never completed, whatever the registry would have made of it.
Source: distribution-spec 1.1 "Pushing Blobs", "Pushing a blob in chunks", "Mounting a blob from another repository".
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from urllib.parse import urlencode

from pyrun.errors import DigestMismatchError, RegistryError, SizeMismatchError
from pyrun.oci import digest as digests
from pyrun.registry.requests import REDIRECTS
from pyrun.registry.retry import RETRIED
from pyrun.registry.transport import DroppedError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from pyrun.registry.requests import Requests
    from pyrun.registry.url import Url

    # Gives a blob's bytes from an offset on. An OSError of it would be taken for the connection's: it raises others.
    OpenAt = Callable[[int], Iterator[bytes | memoryview]]
    Hear = Callable[[int], object]

    class Sized(Protocol):
        """What is needed of an OCI descriptor."""

        @property
        def digest(self) -> str: ...
        @property
        def size(self) -> int: ...


WHOLE_BYTES = 1024 * 1024  # up to here a request less is worth more than going on where a connection broke
PROGRESS_BYTES = 1024 * 1024  # who comes so much further between two failures may fail again
_MAX_HOPS = 6
_OCTETS = {"Content-Type": "application/octet-stream"}


class Placed(Enum):
    """How a blob has come into a repository."""

    EXISTED = "existed"
    MOUNTED = "mounted"
    PUSHED = "pushed"


class _AgainError(Exception):
    """What failed may go well when it is tried again; ``error`` is what it is if not."""

    def __init__(self, error: RegistryError, retry_after: str | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class Upload:
    """An upload of one blob. `mount` may make it unnecessary; then `send`; `cancel` after a failure.

    ``chunk_bytes``: the most that one request carries; 0: all in one, as docker does.
    ``hear(position)`` is told how far the bytes are that have been sent.
    """

    def __init__(
        self,
        requests: Requests,
        repository: str,
        descriptor: Sized,
        *,
        chunk_bytes: int = 0,
        hear: Hear | None = None,
    ) -> None:
        self._requests = requests
        self._repository = repository
        self._digest = descriptor.digest
        self._size = descriptor.size
        self._chunk_bytes = chunk_bytes
        self._hear = hear
        self._what = f"blob {descriptor.digest} to {requests.domain}/{repository}"
        self._scope = push_scope(repository)
        self._session: Url | None = None
        self._hash = digests.hasher(descriptor.digest)
        self._hashed = 0  # so many bytes are in the hash; what is sent again is not hashed again
        self._offset = 0  # so many bytes the registry has
        self._failures = 0
        self._mark = 0  # the furthest that the registry had when something failed

    def is_there(self) -> bool:
        """Ask whether the repository has the blob. Raises: RegistryError and its kinds."""
        target = f"/v2/{self._repository}/blobs/{self._digest}"
        with self._ask("HEAD", target, accepted=(200, 404)) as answer:
            answer.drain()
            return answer.status == 200

    def mount(self, source: str) -> bool:
        """Ask the registry to take the blob from another of its repositories; False: it has to be sent.

        Raises: RegistryError and its kinds.
        """
        self.cancel()  # of an earlier source, which could not be mounted
        try:
            return self._begin({"mount": self._digest, "from": source}, f"{self._scope} repository:{source}:pull")
        except RegistryError as error:
            # Who may not read there may still write here; and there are registries that know no mounting.
            if 400 <= error.status < 500 and error.status != 429:
                return False
            raise

    def send(self, open_at: OpenAt) -> None:
        """Bring the blob into the repository.

        Raises: DigestMismatchError, SizeMismatchError: the bytes are not the blob's, and nothing was completed;
            RegistryError and its kinds.
        """
        is_whole = self._size <= WHOLE_BYTES
        data = self._read(open_at) if is_whole else b""
        while True:
            try:
                if self._session is None:
                    self._begin()
                if not is_whole:
                    self._send_chunks(open_at)
                self._commit(data)
                return
            except _AgainError as again:
                self._failed(again)
                if (is_whole or self._offset == self._size) and self.is_there():
                    self._session = None
                    return  # only the answer to the last request was lost
                self._find_offset(is_whole=is_whole)

    def cancel(self) -> None:
        """Tell the registry to forget what it has of the blob, if it can be told. Never fails."""
        if self._session is not None:
            with suppress(RegistryError, _AgainError):
                self._stream("DELETE", self._session, {"Content-Length": "0"}, None).close()
        self._session = None

    def _begin(self, query: dict[str, str] | None = None, scope: str = "") -> bool:
        """Begin a session; True if there is nothing to send."""
        target = f"/v2/{self._repository}/blobs/uploads/"
        if query:
            target += "?" + urlencode(query)
        with self._ask("POST", target, scope=scope, accepted=(201, 202)) as answer:
            answer.drain()
            if answer.status == 201:
                return True
            self._session = self._requests.location(answer, self._what)
            self._offset = 0
            if self._chunk_bytes:
                self._chunk_bytes = max(self._chunk_bytes, _number(answer.headers.get("OCI-Chunk-Min-Length")))
        return False

    def _read(self, open_at: OpenAt) -> bytes:
        data = b"".join(bytes(chunk) for chunk in open_at(0))
        self._take(data)
        self._check()
        return data

    def _send_chunks(self, open_at: OpenAt) -> None:
        while self._offset < self._size:
            length = self._size - self._offset
            if self._chunk_bytes:
                length = min(length, self._chunk_bytes)
            self._send_chunk(open_at, length)
        self._check()

    def _send_chunk(self, open_at: OpenAt, length: int) -> None:
        end = self._offset + length
        headers = {**_OCTETS, "Content-Length": str(length), "Content-Range": f"{self._offset}-{end - 1}"}
        for _ in range(_MAX_HOPS):
            assert self._session is not None
            with self._stream("PATCH", self._session, headers, self._body(open_at, length)) as answer:
                if answer.status in REDIRECTS:
                    self._session = self._requests.location(answer, self._what)
                    continue
                self._judge(answer, (202, 201, 204))
                if answer.headers.get("Location"):
                    self._session = self._requests.location(answer, self._what)
                self._offset = end
                return
        raise RegistryError(f"registry failed: {self._what}: it redirects in circles", registry=self._requests.domain)

    def _body(self, open_at: OpenAt, length: int) -> Iterator[bytes | memoryview]:
        """Give a request's bytes, hashed; the last ones only if they complete a blob of that digest."""
        position, end = self._offset, self._offset + length
        for whole in open_at(position):
            chunk = whole[: end - position]
            position += len(chunk)
            if position > self._hashed:
                self._take(chunk[len(chunk) - (position - self._hashed) :])
            if position == self._size:
                self._check()
            yield chunk
            if self._hear:
                self._hear(position)
            if position == end:
                return
        raise SizeMismatchError(self._what, expected=self._size, actual=position)

    def _take(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._hashed += len(data)

    def _check(self) -> None:
        if self._hashed != self._size:
            raise SizeMismatchError(self._what, expected=self._size, actual=self._hashed)
        actual = f"{self._digest.partition(':')[0]}:{self._hash.hexdigest()}"
        if actual != self._digest:
            raise DigestMismatchError(self._what, expected=self._digest, actual=actual)

    def _commit(self, data: bytes) -> None:
        """Complete the blob, whose last (or only) bytes are ``data``."""
        assert self._session is not None
        url = self._session.join(str(self._session))
        url.target += ("&" if "?" in url.target else "?") + urlencode({"digest": self._digest})
        body = iter((data,)) if data else None
        with self._stream("PUT", url, {**_OCTETS, "Content-Length": str(len(data))}, body) as answer:
            self._judge(answer, (201, 202, 204))
        self._session = None
        if self._hear:
            self._hear(self._size)

    def _judge(self, answer: Response, accepted: tuple[int, ...]) -> None:
        """Go on after a success, try again where that may help, else raise what the registry said."""
        if answer.status in accepted:
            answer.drain()
            return
        error = self._requests.error(answer, self._repository, self._scope, self._what)
        # 401: a token has expired, a fresh one is there. 404, 416: the session is gone, or stands elsewhere.
        # 400: so docker-registry answers where bytes of a broken connection came after those that it had counted.
        if answer.status in RETRIED or answer.status in (401, 404, 416) or (answer.status == 400 and self._failures):
            raise _AgainError(error, answer.headers.get("Retry-After"))
        raise error

    def _failed(self, again: _AgainError) -> None:
        """Wait before the next try. Each is paid for: by one of a few, or by much that came through since the last."""
        if self._offset >= self._mark + PROGRESS_BYTES:
            self._mark, self._failures = self._offset, 0
        self._failures += 1
        if not self._requests.retry.pause(self._failures, again.retry_after):
            raise again.error from again

    def _find_offset(self, *, is_whole: bool) -> None:
        """Ask how far the registry is; where it does not know, or what it has is of no use, begin anew."""
        if is_whole or self._session is None:
            self.cancel()
            return
        try:
            with self._ask("GET", self._session, accepted=(204, 200, 202)) as answer:
                answer.drain()
                received = _received(answer.headers.get("Range"))
                if 0 < received <= self._hashed:
                    self._offset = received
                    if answer.headers.get("Location"):
                        self._session = self._requests.location(answer, self._what)
                    return
        except RegistryError as error:
            if not 400 <= error.status < 500:
                raise
        self.cancel()

    def _ask(self, method: str, target: str | Url, *, accepted: tuple[int, ...], scope: str = "") -> Response:
        return self._requests.send(
            method, target, {}, repository=self._repository, what=self._what,
            scope=scope or self._scope, accepted=accepted,
        )  # fmt: skip

    def _stream(
        self, method: str, url: Url, headers: dict[str, str], body: Iterator[bytes | memoryview] | None
    ) -> Response:
        try:
            return self._requests.stream(
                method, url, headers, body, scope=self._scope, repository=self._repository, what=self._what
            )
        except DroppedError as error:
            raise _AgainError(self._requests.broken(self._what, error, self._failures + 1)) from error


def push_scope(repository: str) -> str:
    """Give what a token is asked for, to write into a repository."""
    return f"repository:{repository}:pull,push"


def _received(text: str | None) -> int:
    """Read the Range of an upload's status, ``0-LAST``: the number of bytes; 0 where nobody can tell.

    ``0-0`` would be one byte, and is what docker-registry says when it has none.
    """
    last = (text or "").strip().removeprefix("bytes=").partition("-")[2]
    number = _number(last)
    return number + 1 if number else 0


def _number(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
