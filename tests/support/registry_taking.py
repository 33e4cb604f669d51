"""A registry in this process that takes what is pushed, and breaks off, forgets or refuses where a test wants it to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from tests.support.registry_hostile import Answer, Handler, HostileRegistry, Seen, digest_of

_UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/([0-9]*)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]+)")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/(.+)")


class TakingHandler(Handler):
    """Follows distribution-spec 1.1, unless its registry has something else in store for this request."""

    def do_GET(self) -> None:  # noqa: N802
        registry = cast("TakingRegistry", self.server.registry)
        headers = {name.lower(): value for name, value in self.headers.items()}
        registry.seen.append(Seen(self.command, self.path, headers, b""))
        unforeseen = registry.take_surprise(self.command, self.path)
        if unforeseen is not None:
            self.close_connection = True
            unforeseen(self)
            return
        path = urlsplit(self.path).path
        for pattern, method in ((_UPLOADS, self._upload), (_BLOB, self._blob), (_MANIFEST, self._manifest)):
            if found := pattern.fullmatch(path):
                method(registry, *found.groups())
                return
        self.send(200, b"{}")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def _blob(self, registry: TakingRegistry, repository: str, digest: str) -> None:
        data = registry.blobs.get((repository, digest))
        self.send(404 if data is None else 200, data or b"")

    def _manifest(self, registry: TakingRegistry, repository: str, wanted: str) -> None:
        if self.command == "PUT":
            data = self.rfile.read(int(self.headers["Content-Length"]))
            registry.manifests[repository, wanted] = (self.headers["Content-Type"], data)
            self.send(201, Docker_Content_Digest=digest_of(data))
        elif (repository, wanted) not in registry.manifests:
            self.send(404)
        elif self.command == "DELETE":
            del registry.manifests[repository, wanted]
            self.send(202)
        else:
            media_type, data = registry.manifests[repository, wanted]
            self.send(200, data, Content_Type=media_type, Docker_Content_Digest=digest_of(data))

    def _upload(self, registry: TakingRegistry, repository: str, session: str) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if self.command == "POST":
            self._begin(registry, repository, query)
        elif session not in registry.sessions:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown"}]}')
        elif self.command == "DELETE":
            del registry.sessions[session]
            self.send(204)
        elif self.command == "GET":
            self.send(204, Range=f"0-{max(len(registry.sessions[session]) - 1, 0)}")
        elif self._take(registry, session):
            self._taken(registry, repository, session, query)

    def _begin(self, registry: TakingRegistry, repository: str, query: dict[str, str]) -> None:
        known = registry.blobs.get((query.get("from", ""), query.get("mount", "")))
        if known is not None:
            registry.blobs[repository, query["mount"]] = known
            self.send(201, Location=f"/v2/{repository}/blobs/{query['mount']}")
            return
        session = str(len(registry.seen))
        registry.sessions[session] = bytearray()
        self.send(202, Location=registry.location(repository, session))

    def _take(self, registry: TakingRegistry, session: str) -> bool:
        """Keep what comes; False if the connection is to break within."""
        left = int(self.headers.get("Content-Length") or 0)
        until = registry.breaks.pop(0) if registry.breaks and self.command == "PATCH" else None
        if until is not None:
            left = min(left, until)
        while left and (data := self.rfile.read(min(left, 65536))):
            registry.sessions[session] += data
            registry.bytes_taken += len(data)
            left -= len(data)
        if until is None:
            return True
        self.close_connection = True
        if registry.forgets:
            del registry.sessions[session]
        return False

    def _taken(self, registry: TakingRegistry, repository: str, session: str, query: dict[str, str]) -> None:
        if self.command == "PATCH":
            end = len(registry.sessions[session]) - 1
            self.send(202, Location=registry.location(repository, session), Range=f"0-{end}")
            return
        data = bytes(registry.sessions.pop(session))
        if digest_of(data) != query["digest"]:
            self.send(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}')
            return
        registry.blobs[repository, query["digest"]] = data
        if registry.loses_commit:
            registry.loses_commit = False
            self.close_connection = True
            return
        self.send(201, Docker_Content_Digest=query["digest"])


class TakingRegistry(HostileRegistry):
    """``breaks``: after how many bytes each PATCH breaks off; ``forgets``: and takes its session with it."""

    handler = TakingHandler

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.sessions: dict[str, bytearray] = {}
        self.bytes_taken = 0
        self.breaks: list[int] = []
        self.forgets = False
        self.loses_commit = False
        self._surprises: list[tuple[str, str, Answer | Callable[[Handler], None]]] = []

    @staticmethod
    def location(repository: str, session: str) -> str:
        """Give where a session goes on."""
        return f"/v2/{repository}/blobs/uploads/{session}?_state=a%2Fb&n=1"

    def surprise(self, method: str, part: str, *answers: Answer) -> None:
        """Answer the next requests of a method whose path holds ``part``, one each, without reading their bodies."""
        self._surprises += [(method, part, answer) for answer in answers]

    def forget_surprises(self) -> None:
        """Be as the specification wants from now on."""
        self._surprises.clear()

    def take_surprise(self, method: str, path: str) -> Answer | None:
        """Take what is meant for a request."""
        with self._lock:
            for at, (for_method, part, answer) in enumerate(self._surprises):
                if for_method == method and part in path:
                    del self._surprises[at]
                    return answer
        return None

    def methods(self) -> list[str]:
        """List what was asked, in short."""
        return [seen.method for seen in self.seen]
