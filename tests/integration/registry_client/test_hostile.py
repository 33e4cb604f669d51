"""Manifests of registries that lie and flood; when a request is tried again."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from pyrun.errors import (
    DigestMismatchError,
    InvalidConfigError,
    ManifestUnknownError,
    RegistryError,
    RegistryUnreachableError,
    SizeMismatchError,
)
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.reference import parse_normalized
from pyrun.registry.client import RegistryClient
from pyrun.registry.retry import Retry
from tests.support.registry_asking import ANONYMOUS, DATA, MANIFEST, PATH, basic, fetch, reference
from tests.support.registry_hostile import Answer, Handler, HostileRegistry, blob, digest_of, document, status

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# Manifests


def test_a_length_of_thousands_of_digits_is_none(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(200, DATA, Content_Length="9" * 5000))
    descriptor = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))
    assert client.blob_bytes("app", descriptor) == DATA


def test_tag_and_digest(registry: HostileRegistry, client: RegistryClient) -> None:
    digest, answer = document(MANIFEST)
    registry.on("/v2/app/manifests/1", answer)
    registry.on(f"/v2/app/manifests/{digest}", answer)
    descriptor, data = client.resolve(reference(registry))
    assert (descriptor.digest, descriptor.media_type, descriptor.size) == (digest, media_types.OCI_MANIFEST, len(data))
    assert client.resolve(reference(registry, f"app:2@{digest}"))[0].digest == digest
    assert client.manifest("app", digest, len(data))[1] == data
    assert client.head(reference(registry)) == digest
    assert registry.seen[0].headers["accept"] == media_types.ACCEPT
    assert "authorization" not in registry.seen[0].headers
    assert len(registry.connections) == 1  # kept for all of them


def test_wrong_digest_by_digest(registry: HostileRegistry, client: RegistryClient) -> None:
    wanted = digest_of(b"something else")
    registry.on(f"/v2/app/manifests/{wanted}", document(MANIFEST)[1])
    with pytest.raises(DigestMismatchError) as caught:
        client.resolve(reference(registry, f"app@{wanted}"))
    assert caught.value.expected == wanted
    assert registry.domain in caught.value.message


def test_wrong_digest_header(registry: HostileRegistry, client: RegistryClient) -> None:
    lie = digest_of(b"lie")
    registry.on(
        "/v2/app/manifests/1", status(200, b"{}", Content_Type=media_types.OCI_MANIFEST, Docker_Content_Digest=lie)
    )
    with pytest.raises(DigestMismatchError):
        client.resolve(reference(registry))


def test_wrong_manifest_size(registry: HostileRegistry, client: RegistryClient) -> None:
    digest, answer = document(MANIFEST)
    registry.on(f"/v2/app/manifests/{digest}", answer)
    with pytest.raises(SizeMismatchError):
        client.manifest("app", digest, 7)


def test_unknown_tag(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    with pytest.raises(ManifestUnknownError) as caught:
        client.resolve(reference(registry, "app:nope"))
    assert caught.value.message == f"not found: {registry.domain}/app:nope: manifest unknown"
    assert (caught.value.status, caught.value.registry, pauses) == (404, registry.domain, [])
    assert caught.value.hint


def test_oversize_manifest(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on("/v2/app/manifests/1", status(200, b" " * 30_000_000, Content_Type=media_types.OCI_MANIFEST))
    with pytest.raises(InvalidConfigError, match="larger than the limit of 4194304 bytes"):
        client.resolve(reference(registry))


def test_oversize_config_is_not_asked_for(registry: HostileRegistry, client: RegistryClient) -> None:
    with pytest.raises(InvalidConfigError, match="more than the limit"):
        client.blob_bytes("app", Descriptor(media_types.OCI_CONFIG, digest_of(b""), 5_000_000))
    assert registry.seen == []


def test_media_type_from_the_document(registry: HostileRegistry, client: RegistryClient) -> None:
    docker = {**MANIFEST, "mediaType": media_types.DOCKER_MANIFEST}
    registry.on("/v2/app/manifests/1", document(docker, "text/plain; charset=utf-8")[1])
    assert client.resolve(reference(registry))[0].media_type == media_types.DOCKER_MANIFEST


def test_truncated_manifest_is_fetched_again(
    registry: HostileRegistry, client: RegistryClient, pauses: list[float]
) -> None:
    digest, answer = document(MANIFEST)
    broken = status(200, b'{"sch', Content_Length="5000", Connection="close")
    registry.on("/v2/app/manifests/1", broken, answer)
    assert client.resolve(reference(registry))[0].digest == digest
    assert len(pauses) == 1


def test_a_document_of_another_kind_than_it_is_served_as(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on("/v2/app/manifests/1", document(MANIFEST, media_types.OCI_INDEX)[1])
    complaint = f"registry failed: {registry.domain}/app:1: its answer is no manifest: /mediaType: it says"
    with pytest.raises(RegistryError, match=complaint):
        client.resolve(reference(registry))


@pytest.mark.parametrize("end", [-1, 100])
def test_a_part_is_no_manifest(registry: HostileRegistry, client: RegistryClient, end: int) -> None:
    data = json.dumps(MANIFEST).encode()
    headers = {"Content_Type": media_types.OCI_MANIFEST, "Content_Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
    registry.on("/v2/app/manifests/1", status(206, data[:end], **headers))
    with pytest.raises(RegistryError, match="status 206"):
        client.resolve(reference(registry))


# Answers without an end


def endless(first: bytes, rest: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.close_connection = True
        handler.write(first)
        while not handler.is_broken:
            handler.write(rest)

    return answer


@pytest.mark.parametrize(
    ("first", "rest", "complaint"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "got more than 8 interim answers"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "got more than 8 interim answers"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", "got more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4096, "got more than 65536 bytes when reading header line"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n", "got more than 100 trailers"),
        (CHUNKED + b"2\r\n{}\r\n0\r\nX: ", b"y" * 4096, "got more than 65536 bytes when reading trailer line"),
        (CHUNKED, b"0" * 4096, "got more than 65536 bytes when reading chunk size"),
    ],
)
def test_what_never_comes_to_a_point(
    registry: HostileRegistry, client: RegistryClient, first: bytes, rest: bytes, complaint: str
) -> None:
    registry.on("/v2/app/manifests/1", endless(first, rest))
    with pytest.raises(RegistryUnreachableError, match=f"{complaint} \\(5 tries\\)"):
        client.resolve(reference(registry))


def test_interim_answers_are_passed_over(registry: HostileRegistry, client: RegistryClient) -> None:
    digest, answer = document(MANIFEST)

    def hinted(handler: Handler) -> None:
        handler.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + b"HTTP/1.1 100 Continue\r\n\r\n")
        answer(handler)

    registry.on("/v2/app/manifests/1", hinted)
    assert client.resolve(reference(registry))[0].digest == digest


# Back-off


def test_429_with_retry_after(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on(PATH, status(429, Retry_After="3"), status(503), blob(DATA))
    assert fetch(client) == DATA
    assert pauses == [3.0, 0.5]


def test_429_for_hours_is_said_at_once(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}'
    registry.on("/v2/app/manifests/1", status(429, body, Retry_After="21600"))
    with pytest.raises(RegistryError, match=r"too many requests: .*pull rate limit") as caught:
        client.resolve(reference(registry))
    assert (caught.value.status, pauses, len(registry.seen)) == (429, [], 1)


USUAL = [0.25, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "paused", "hint"),
    [
        *((text, USUAL, "wait, then try again") for text in ("0", "Wed, 21 Oct 2015 07:28:00 GMT", "-5", "soon")),
        *((text, [], "it asks to wait for more than a day") for text in ("9" * 40, "Wed, 21 Oct 9999 07:28:00 GMT")),
    ],
)
def test_429_that_asks_for_no_time_or_for_ever(
    registry: HostileRegistry, client: RegistryClient, pauses: list[float], text: str, paused: list[float], hint: str
) -> None:
    registry.on("/v2/app/manifests/1", status(429, Retry_After=text))
    with pytest.raises(RegistryError, match="too many requests") as caught:
        client.resolve(reference(registry))
    assert (pauses, caught.value.hint) == (paused, hint)


def test_503_forever(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on("/v2/app/manifests/1", status(503))
    with pytest.raises(RegistryUnreachableError) as caught:
        client.resolve(reference(registry))
    assert (caught.value.status, len(registry.seen), len(pauses)) == (503, 5, 4)


def test_nothing_is_tried_again_by_what_is_stopped(registry: HostileRegistry) -> None:
    registry.on(PATH, status(429, Retry_After="3"))
    client = RegistryClient(registry.domain, ANONYMOUS, retry=Retry(sleep=lambda _: client.abort()))
    with client, pytest.raises(RegistryError, match="too many requests"):
        fetch(client)
    assert len(registry.seen) == 1


@pytest.mark.parametrize("is_begun", [False, True])
def test_what_is_stopped_is_not_waited_for(registry: HostileRegistry, client: RegistryClient, is_begun: bool) -> None:
    arrived, done = threading.Event(), threading.Event()

    def stall(handler: Any) -> None:
        if is_begun:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(DATA)))
            handler.end_headers()
            handler.wfile.write(DATA[:1])
        arrived.set()
        done.wait(60)

    registry.on(PATH, stall)
    failures: list[str] = []

    def ask() -> None:
        try:
            fetch(client)
        except RegistryError as error:
            failures.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert arrived.wait(30)
        client.abort()
        asking.join(30)
        assert len(failures) == 1
    finally:
        done.set()


def test_connection_closed_while_idle(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    def answer_and_hang_up(handler: Any) -> None:
        blob(DATA)(handler)
        handler.close_connection = True  # without saying so in a header

    registry.on(PATH, answer_and_hang_up)
    assert fetch(client) == DATA
    assert fetch(client) == DATA
    assert pauses == []


def test_answer_that_is_no_http(registry: HostileRegistry, client: RegistryClient) -> None:
    def noise(handler: Any) -> None:
        handler.close_connection = True
        handler.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    registry.on("/v2/app/manifests/1", noise)
    with pytest.raises(RegistryUnreachableError, match="5 tries"):
        client.resolve(reference(registry))


def test_registry_that_is_not_there(registry: HostileRegistry) -> None:
    with HostileRegistry() as gone:
        pass
    refused = f"cannot reach registry: {gone.domain}: connection refused"
    with RegistryClient(gone.domain, ANONYMOUS) as client, pytest.raises(RegistryUnreachableError, match=refused):
        client.ping()


# Proxies


def test_plain_http_through_a_proxy(registry: HostileRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://us:er@{registry.domain}")
    monkeypatch.setenv("https_proxy", f"http://us:er@{registry.domain}")
    digest, answer = document(MANIFEST)
    registry.on("http://registry.invalid/v2/app/manifests/1", answer)
    with RegistryClient("registry.invalid", ANONYMOUS, insecure=["registry.invalid"]) as client:
        assert client.resolve(parse_normalized("registry.invalid/app:1"))[0].digest == digest
    tunnel, plain = registry.seen
    assert (tunnel.method, tunnel.path) == ("CONNECT", "registry.invalid:443")
    assert plain.headers["host"] == "registry.invalid"
    assert tunnel.headers["proxy-authorization"] == plain.headers["proxy-authorization"] == basic("us", "er")


def test_proxy_that_refuses_the_tunnel(registry: HostileRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://{registry.domain}")
    registry.on("registry.invalid:443", status(403))
    refused = "cannot reach registry: registry.invalid: tunnel connection failed: 403"
    with (
        RegistryClient("registry.invalid", ANONYMOUS) as client,
        pytest.raises(RegistryUnreachableError, match=refused),
    ):
        client.ping()
    assert len(registry.seen) == 1


def test_a_web_page_is_no_answer_of_a_registry(registry: HostileRegistry) -> None:
    """But what a registry calls so is one: quay.io's framework says text/html of every short answer."""
    registry.on("/v2/", status(200, b"<html>", Content_Type="text/html; charset=utf-8"))
    with (
        RegistryClient(registry.domain, ANONYMOUS) as client,
        pytest.raises(RegistryError, match=f"no registry: {registry.domain}: it answers with a web page"),
    ):
        client.ping()
    true = {"Content_Type": "text/html; charset=utf-8", "Docker_Distribution_API_Version": "registry/2.0"}
    registry.on("/v2/", status(200, b"true", **true))
    with RegistryClient(registry.domain, ANONYMOUS) as client:
        client.ping()
