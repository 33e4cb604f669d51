"""An HTTP proxy in this process: tunnels by CONNECT, forwards plain requests, may want a password or speak TLS."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from binascii import b2a_base64
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


class ConnectProxy:
    """``hosts`` says where ``host:port`` really is: nothing is looked up. ``seen`` holds the lines of requests."""

    def __init__(
        self, hosts: dict[str, int], *, user: str = "", password: str = "", certificate: tuple[str, str] | None = None
    ) -> None:
        self.hosts = hosts
        self.seen: list[str] = []
        secret = b2a_base64(f"{user}:{password}".encode(), newline=False).decode()
        self.wanted = f"Basic {secret}" if user else ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    proxy: ConnectProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that clients break are expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_CONNECT(self) -> None:
        if not self._is_allowed():
            return
        with socket.create_connection(("127.0.0.1", self.server.proxy.hosts[self.path])) as there:
            self.send_response(200, "Connection established")
            self.end_headers()
            _splice(self.connection, there)
        self.close_connection = True

    def do_GET(self) -> None:
        if not self._is_allowed():
            return
        url = urlsplit(self.path)
        there = http.client.HTTPConnection("127.0.0.1", self.server.proxy.hosts[url.netloc])
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        there.request(self.command, f"{url.path}?{url.query}".rstrip("?"), headers=headers)
        answer = there.getresponse()
        data = answer.read()
        there.close()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def _is_allowed(self) -> bool:
        self.server.proxy.seen.append(f"{self.command} {self.path}")
        if self.headers.get("Proxy-Authorization", "") == self.server.proxy.wanted:
            return True
        self.send_response(407, "Proxy Authentication Required")
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False


def _splice(here: socket.socket, there: socket.socket) -> None:
    """Carry bytes both ways until one side has ended."""
    others = {here: there, there: here}
    while True:
        ready = [here] if isinstance(here, ssl.SSLSocket) and here.pending() else select.select(list(others), [], [])[0]
        for side in ready:
            try:
                data = side.recv(65536)
                if not data:
                    return
                others[side].sendall(data)
            except OSError:
                return
