"""A registry in this process that answers whatever a test wants it to, and remembers what it was asked.

Each path has a list of answers: one per request, the last for all that follow.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from pyrun.oci import media_types

MANIFEST_TYPE = media_types.OCI_MANIFEST


class Seen:
    """A request that came."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers  # names in lower case
        self.body = body

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Looks its answer up in the registry that it serves."""

    protocol_version = "HTTP/1.1"
    server: Server
    is_broken = False

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        registry = self.server.registry
        headers = {name.lower(): value for name, value in self.headers.items()}
        registry.seen.append(Seen(self.command, self.path, headers, body))
        registry.answer_for(self.path)(self)

    do_HEAD = do_POST = do_CONNECT = do_GET  # noqa: N815 - the names that http.server looks for

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; ``Content_Length="x"`` gives the header Content-Length."""
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.write(body)

    def write(self, data: bytes) -> None:
        """Send bytes and count them; nothing more once the client has hung up."""
        if self.is_broken:
            return
        self.server.registry.bytes_served += len(data)  # before: the client may be done with them first
        try:
            self.wfile.write(data)
        except OSError:
            self.is_broken = self.close_connection = True  # its right

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


class Server(ThreadingHTTPServer):
    """Knows its registry; waits for its threads at the end, so that none outlives a test."""

    daemon_threads = False
    block_on_close = True
    registry: HostileRegistry

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that clients break are expected here; a client that TLS refuses gets to read why."""
        if isinstance(request, ssl.SSLSocket):
            try:
                request.shutdown(socket.SHUT_WR)
                while os.read(request.fileno(), 65536):  # closed with unread bytes, it would be reset
                    continue
            except OSError:
                return

    def process_request(self, request: Any, client_address: Any) -> None:
        self.registry.connections.append(request)
        super().process_request(request, client_address)


class HostileRegistry:
    """A server on a free loopback port; ``domain`` is what a reference names it by."""

    handler: type[Handler] = Handler

    def __init__(self, certificate: tuple[str, str] | None = None, *, client_authority: str = "") -> None:
        """Serve with TLS if there is a ``certificate``; then perhaps only clients for whom an authority vouches."""
        self.seen: list[Seen] = []
        self.connections: list[Any] = []
        self.bytes_served = 0
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), self.handler)
        self._server.registry = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if client_authority:
                context.load_verify_locations(client_authority)
                context.verify_mode = ssl.CERT_REQUIRED
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port = self._server.server_address[1]
        self.domain = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        for connection in self.connections:
            try:
                connection.shutdown(2)  # wakes the handler of an idle connection
            except OSError:
                continue  # closed by its client already
        self._server.server_close()

    def on(self, path: str, *answers: Answer) -> None:
        """Set the answers of a path (its query is not looked at)."""
        self._answers[path] = list(answers)

    def answer_for(self, path: str) -> Answer:
        """Take the next answer."""
        with self._lock:
            answers = self._answers.get(path.partition("?")[0])
            if not answers:
                return status(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def asked(self, part: str) -> list[Seen]:
        """List the requests whose path holds ``part``."""
        return [seen for seen in self.seen if part in seen.path]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with a status, a body and headers."""
    return lambda handler: handler.send(code, body, **headers)


def document(value: object, media_type: str = MANIFEST_TYPE) -> tuple[str, Answer]:
    """Answer with a JSON document; gives its digest too."""
    data = json.dumps(value).encode()
    digest = digest_of(data)
    return digest, status(200, data, Content_Type=media_type, Docker_Content_Digest=digest)


def blob(data: bytes, *, cut: int | None = None, ranges: bool = True, extra: bytes = b"") -> Answer:
    """Serve a blob; ``cut``: break the connection after so many bytes; ``extra``: send more than was promised."""

    def answer(handler: Handler) -> None:
        start, headers = 0, {}
        wanted = handler.headers.get("Range", "")
        if ranges and wanted.startswith("bytes="):
            start = int(wanted[6:].partition("-")[0])
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        rest = data[start:]
        whole = len(rest) if cut is None else min(cut, len(rest))
        handler.close_connection = whole < len(rest)
        handler.send(206 if start else 200, rest[:whole] + extra, Content_Length=str(len(rest)), **headers)

    return answer


def needs(header: str, challenge: str, inner: Answer) -> Answer:
    """Answer 401 unless the Authorization header is this one."""

    def answer(handler: Handler) -> None:
        if handler.headers.get("Authorization") == header:
            inner(handler)
        else:
            handler.send(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', WWW_Authenticate=challenge)

    return answer


def digest_of(data: bytes) -> str:
    """Give the sha256 digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_of(config: bytes, *layers: bytes) -> dict[str, Any]:
    """Make an image manifest for blobs."""

    def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(media_types.OCI_CONFIG, config),
        "layers": [descriptor(media_types.OCI_LAYER_GZIP, layer) for layer in layers],
    }
