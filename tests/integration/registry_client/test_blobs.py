"""Blobs of registries that lie, break off, flood and stand still."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from pyrun.errors import (
    DigestMismatchError,
    RegistryError,
    RegistryUnreachableError,
    SizeMismatchError,
)
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.registry import steady, transport
from pyrun.registry.client import RegistryClient
from tests.support.registry_asking import DATA, LAYER, PATH, fetch, reference
from tests.support.registry_hostile import Answer, Handler, HostileRegistry, blob, digest_of, status


def test_blob_whole_and_from_an_offset(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, blob(DATA))
    assert fetch(client) == DATA
    assert fetch(client, offset=1_000_000) == DATA[1_000_000:]
    assert fetch(client, offset=len(DATA)) == b""
    assert registry.seen[1].headers["range"] == f"bytes=1000000-{len(DATA) - 1}"
    assert (len(registry.seen), len(registry.connections)) == (2, 1)


def test_truncated_blob_is_resumed(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on(PATH, blob(DATA, cut=1_000_000), blob(DATA, cut=900_000), blob(DATA))
    assert fetch(client) == DATA
    assert [seen.headers.get("range") for seen in registry.seen] == [
        None,
        f"bytes=1000000-{len(DATA) - 1}",
        f"bytes=1900000-{len(DATA) - 1}",
    ]
    assert registry.bytes_served == len(DATA)  # no byte twice
    assert pauses == [0.25, 0.5]


def test_resume_without_ranges(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, blob(DATA, cut=700_000), blob(DATA, ranges=False))
    assert fetch(client) == DATA


def test_endless_drops_end(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on(PATH, blob(DATA, cut=1000))
    with pytest.raises(RegistryUnreachableError, match=r"broke off: blob sha256:.* \(5 tries\)"):
        fetch(client)
    assert len(registry.seen) == 5
    assert registry.bytes_served == 5000
    assert pauses == [0.25, 0.5, 1.0, 2.0]


def test_more_bytes_than_the_descriptor_says(registry: HostileRegistry, client: RegistryClient) -> None:
    short = Descriptor(LAYER.media_type, LAYER.digest, 1000)
    registry.on(PATH, blob(DATA))
    with pytest.raises(SizeMismatchError) as caught:
        fetch(client, short)
    assert (caught.value.expected, caught.value.actual) == (1000, len(DATA))


def test_endless_body_without_length_is_cut(registry: HostileRegistry, client: RegistryClient) -> None:
    def flood(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        for _ in range(1000):
            handler.write(DATA)

    registry.on(PATH, flood)
    assert fetch(client) == DATA
    buffer = bytearray(2 * len(DATA))
    with client.blob("app", LAYER) as stream:
        assert stream.readinto(buffer) == len(DATA)
        assert stream.readinto(buffer) == 0
    assert buffer == DATA + bytes(len(DATA))
    assert registry.bytes_served < 40 * len(DATA)


def test_range_answer_from_another_place(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(206, DATA[5:], Content_Range=f"bytes 5-{len(DATA) - 1}/{len(DATA)}"))
    with pytest.raises(RegistryError, match="asked for bytes from 7, got them from 5"):
        fetch(client, offset=7)


def test_a_part_that_nobody_asked_for(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(206, DATA))
    with pytest.raises(RegistryError, match="got an answer that does not say which it has"):
        fetch(client)
    registry.on(PATH, status(206, DATA, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}"))
    assert fetch(client) == DATA


def test_range_answer_of_another_blob(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(206, DATA[7:], Content_Range=f"bytes 7-{len(DATA) - 1}/{len(DATA) + 1}"))
    with pytest.raises(SizeMismatchError) as caught:
        fetch(client, offset=7)
    assert caught.value.actual == len(DATA) + 1


def test_config_with_other_bytes(registry: HostileRegistry, client: RegistryClient) -> None:
    config = Descriptor(media_types.OCI_CONFIG, digest_of(b"{}"), 2)
    registry.on(f"/v2/app/blobs/{config.digest}", status(200, b"[]"), status(200, b"{}"))
    with pytest.raises(DigestMismatchError):
        client.blob_bytes("app", config)
    assert client.blob_bytes("app", config) == b"{}"


def test_blobs_in_parallel(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, blob(DATA))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(client))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DATA] * 8
    assert len(registry.connections) <= 8


# Standing still


def drop_by_drop(data: bytes) -> Answer:
    """Send whole bytes, one at a time, for as long as somebody reads."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.close_connection = True
        for at in range(len(data)):
            handler.write(data[at : at + 1])
            if handler.is_broken:
                return

    return answer


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is over at once, and each byte is one."""
    monkeypatch.setattr(steady, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(steady, "LEAST_BYTES", 1 << 40)


@pytest.mark.usefixtures("hurried")
def test_a_body_that_drips(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on(PATH, drop_by_drop(DATA))
    with pytest.raises(RegistryUnreachableError, match=r"\d+ bytes came in \d+ seconds \(5 tries\)"):
        fetch(client)
    assert len(pauses) == 4


@pytest.mark.usefixtures("hurried")
def test_a_head_that_drips(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    def head(handler: Handler) -> None:
        handler.close_connection = True
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60_000:
            handler.write(bytes([byte]))

    registry.on("/v2/app/manifests/1", head)
    with pytest.raises(RegistryUnreachableError, match="bytes came in"):
        client.resolve(reference(registry))
    assert len(pauses) == 4


@pytest.mark.usefixtures("hurried")
def test_a_manifest_that_drips(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on("/v2/app/manifests/1", drop_by_drop(DATA))
    with pytest.raises(RegistryUnreachableError, match="bytes came in"):
        client.resolve(reference(registry))


def test_silence(registry: HostileRegistry, client: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = threading.Event()
    monkeypatch.setattr(transport, "READ_SECONDS", 0.05)

    def nothing(handler: Handler) -> None:
        heard.wait(60)

    registry.on(PATH, nothing)
    with pytest.raises(RegistryUnreachableError, match="no answer for"):
        fetch(client)
    heard.set()


def test_many_bytes_in_a_long_time_are_not_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(steady, "monotonic", lambda: next(clock) // 1000 * 0.001)
    reader = io.BufferedReader(steady.Steady(io.FileIO("/dev/zero")), 4096)
    assert sum(len(reader.read(4096)) for _ in range(100_000)) == 4096 * 100_000
