"""Debian's docker-registry on a free loopback port, and a pusher that owes nothing to the client under test."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
from binascii import b2a_base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.registry_hostile import digest_of

USER, PASSWORD = "ann", "correct horse"
# bcrypt of PASSWORD; docker-registry takes no other hash.
HTPASSWD = f"{USER}:$2b$05$Q1hdRYjvmLZa.PzNBNBI7uQma0CO9HGojzoZ7lkMG2LDz3ppBCfde\n"


@contextmanager
def running_registry(
    directory: Path, *, password: bool = False, certificate: tuple[str, str] | None = None, auth: str = ""
) -> Iterator[str]:
    """Start a registry that keeps its blobs in ``directory``; gives its domain once it listens.

    ``auth`` is the value of that key in its configuration (YAML), instead of the one that ``password`` makes.
    """
    program = shutil.which("docker-registry")
    if program is None:
        if "docker-registry" in os.environ.get("PYRUN_MUST", "").split(","):
            pytest.fail("docker-registry is not installed")
        pytest.skip("docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        domain = f"127.0.0.1:{probe.getsockname()[1]}"
    config = _config(directory, domain, password=password, certificate=certificate, auth=auth)
    with subprocess.Popen([program, "serve", str(config)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if "listening on" in line:
                break
        else:
            pytest.fail("docker-registry did not start: " + "".join(lines))
        drain = _drain(process.stderr)
        try:
            yield domain
        finally:
            process.terminate()
            process.wait()
            drain.join()


def push(domain: str, repository: str, tag: str, manifest: dict[str, Any], *blobs: bytes, login: bool = False) -> str:
    """Push a manifest and its blobs; gives the manifest's digest."""
    headers = {}
    if login:
        headers["Authorization"] = "Basic " + b2a_base64(f"{USER}:{PASSWORD}".encode(), newline=False).decode()
    connection = http.client.HTTPConnection(domain)
    try:
        for blob in blobs:
            location = _ask(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"", headers)
            target = urlsplit(location)
            octets = {**headers, "Content-Type": "application/octet-stream"}
            _ask(connection, "PUT", f"{target.path}?{target.query}&digest={digest_of(blob)}", blob, octets)
        data = json.dumps(manifest).encode()
        typed = {**headers, "Content-Type": manifest["mediaType"]}
        _ask(connection, "PUT", f"/v2/{repository}/manifests/{tag}", data, typed)
        return digest_of(data)
    finally:
        connection.close()


def make_certificate(directory: Path) -> tuple[str, str]:
    """Make a certificate for this machine that nobody trusts; gives its file and its key's."""
    crt, key = str(directory / "tls.crt"), str(directory / "tls.key")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(["openssl", "req", *kind, *names, "-out", crt, "-keyout", key], check=True, capture_output=True)
    return crt, key


def _ask(connection: http.client.HTTPConnection, method: str, target: str, body: bytes, headers: dict[str, str]) -> str:
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status in (201, 202), (method, target, answer.status, text)
    return answer.headers["Location"]


def _config(directory: Path, domain: str, *, password: bool, certificate: tuple[str, str] | None, auth: str) -> Path:
    lines = [
        "version: 0.1",
        "log: {level: info}",
        f"storage: {{filesystem: {{rootdirectory: {directory / 'blobs'}}}}}",
        f"http: {{addr: '{domain}'"
        + (f", tls: {{certificate: {certificate[0]}, key: {certificate[1]}}}" if certificate else "")
        + "}",
    ]
    if password:
        (directory / "htpasswd").write_text(HTPASSWD)
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}")
    if auth:
        lines.append(f"auth: {auth}")
    path = directory / "registry.yml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _drain(stream: Any) -> Any:
    """Keep the registry's log from filling its pipe."""
    import threading

    thread = threading.Thread(target=stream.read)
    thread.start()
    return thread
