"""A file from an http(s) URL, as a stream. It must not know what it is; no credentials are sent."""

from __future__ import annotations

from pyrun.errors import RegistryError, RegistryUnreachableError
from pyrun.registry.agent import user_agent
from pyrun.registry.requests import REDIRECTS
from pyrun.registry.transport import DroppedError, Response, Transport
from pyrun.registry.trust import Trust
from pyrun.registry.url import Url, insecure_from_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

_MAX_REDIRECTS = 6
_CHUNK = 1 << 18


def chunks(text: str) -> Generator[bytes, None, None]:
    """Give the bytes that a URL names, as they come. Closing the generator closes the connection.

    Raises: RegistryError: no such file, not reachable, ended before its length.
    """
    transport = Transport(user_agent(""), Trust(insecure_from_environment()))
    try:
        with _opened(transport, Url.parse(text), text) as answer:
            count, promised = 0, answer.content_length
            buffer = memoryview(bytearray(_CHUNK))
            while size := answer.readinto(buffer):
                count += size
                yield bytes(buffer[:size])
            if promised is not None and count < promised:
                raise DroppedError(f"{count} of {promised} bytes came")
    except RegistryUnreachableError as error:
        error.args = (f"cannot fetch: {text}: {error.message.rpartition(': ')[2]}",)
        error.message, error.hint = error.args[0], "is the address right?"
        raise
    except DroppedError as error:
        raise RegistryUnreachableError(f"cannot fetch: {text}: {error}", registry="", hint="try again") from error
    finally:
        transport.close()


def _opened(transport: Transport, url: Url, text: str) -> Response:
    first = url
    for _ in range(_MAX_REDIRECTS):
        answer = transport.request("GET", url, {"Host": url.authority})
        if answer.status == 200:
            return answer
        location = answer.headers.get("Location")
        status = answer.status
        answer.drain()
        answer.close()
        if status not in REDIRECTS or not location:
            raise RegistryError(f"cannot fetch: {text}: the server answers {status}", registry="", status=status)
        url = url.join(location)
        if first.scheme == "https" and url.scheme != "https":
            raise RegistryError(f"cannot fetch: {text}: it leads to {url}, without TLS", registry="")
    raise RegistryError(f"cannot fetch: {text}: it leads from one place to the next", registry="")
