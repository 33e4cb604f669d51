"""pyrun.registry.plain_head: a digest, or "" for every answer that is not plainly one; within its time."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pyrun.registry import plain_head

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = "sha256:" + "ab" * 32
GOOD = f"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ndocker-content-DIGEST:  {DIGEST} \r\nX: y\r\n\r\n".encode()


@contextlib.contextmanager
def _answering(*parts: bytes, hang_up: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one request with these bytes; give the authority and what was asked."""
    asked: list[bytes] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def serve() -> None:
            with contextlib.suppress(OSError), server.accept()[0] as sock:
                sock.settimeout(60)
                while b"\r\n\r\n" not in b"".join(asked):
                    asked.append(sock.recv(65536))
                for part in parts:
                    sock.sendall(part)
                if not hang_up:
                    done.wait(60)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            done.set()
            thread.join()


def test_one_request_and_its_digest() -> None:
    with _answering(GOOD, hang_up=False) as (domain, asked):
        assert plain_head.digest_of(domain, "team/app", "1") == DIGEST
    words = b"".join(asked).decode().split("\r\n")
    assert words[0] == "HEAD /v2/team/app/manifests/1 HTTP/1.1"
    assert f"Host: {domain}" in words
    assert any(word.startswith("Accept: application/vnd.oci.image") for word in words)


def test_an_answer_in_pieces() -> None:
    with _answering(*(GOOD[at : at + 1] for at in range(len(GOOD)))) as (domain, _):
        assert plain_head.digest_of(domain, "app", "1") == DIGEST


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        GOOD[:-2],
        GOOD.replace(b"200 OK", b"401 Unauthorized"),
        GOOD.replace(b"200 OK", b"301 Moved"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
        GOOD.replace(b"HTTP/1.1", b"HTTP/2"),
        GOOD.replace(b"X: y", b"Docker-Content-Digest: sha256:" + b"cd" * 32),
        GOOD.replace(b"sha256:", b"sha256:\x1b["),
        GOOD.replace(b"X: y", b"X: \xff"),
        GOOD.replace(b"ab" * 32, b"ab"),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes(200_000) + b"\r\n\r\n",
    ],
)
def test_any_other_answer_is_none(answer: bytes) -> None:
    with _answering(answer) as (domain, _):
        assert plain_head.digest_of(domain, "app", "1") == ""


def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_head, "_SECONDS", 0.05)
    with _answering(GOOD[:20], hang_up=False) as (domain, _):
        assert plain_head.digest_of(domain, "app", "1") == ""


@pytest.mark.parametrize(
    ("domain", "asks"),
    [
        ("localhost:5000", ("localhost", 5000)),
        ("localhost", ("localhost", 80)),
        ("127.1.2.3", ("127.1.2.3", 80)),
        ("[::1]:5000", ("::1", 5000)),
        ("[::1]", ("::1", 80)),
        ("example.com:5000", None),
        ("docker.io", None),
        ("10.0.0.1:5000", None),
        ("localhost:70000000", None),
    ],
)
def test_only_this_machine_is_asked(monkeypatch: pytest.MonkeyPatch, domain: str, asks: tuple[str, int] | None) -> None:
    seen: list[tuple[str, int]] = []

    def connected(host: str, port: int) -> None:
        seen.append((host, port))
        raise OSError

    monkeypatch.setattr(plain_head, "_connected", connected)
    assert plain_head.digest_of(domain, "app", "1") == ""
    assert seen == ([asks] if asks else [])
