"""The pushing half of the client against registries that break off, forget, point elsewhere and refuse."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pyrun.errors import (
    AuthenticationError,
    DigestMismatchError,
    ManifestUnknownError,
    RegistryError,
    RegistryUnreachableError,
    SizeMismatchError,
)
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.registry.client import RegistryClient
from pyrun.registry.credentials import Credential, CredentialStore
from pyrun.registry.listing import tags
from pyrun.registry.retry import Retry
from pyrun.registry.upload import Placed
from tests.support.registry_hostile import HostileRegistry, digest_of, needs, status
from tests.support.registry_taking import TakingRegistry

DATA = random.Random(7).randbytes(3_000_000)
SMALL = DATA[:1000]
CHUNK = 100_000


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor(media_types.OCI_LAYER_GZIP, digest_of(data), len(data))


BLOB = descriptor_of(DATA)


class Source:
    """Bytes that can be read from an offset, in one buffer that is used again and again."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offsets: list[int] = []

    def __call__(self, offset: int) -> Iterator[memoryview]:
        self.offsets.append(offset)
        buffer = bytearray(CHUNK)
        for at in range(offset, len(self.data), CHUNK):
            chunk = self.data[at : at + CHUNK]
            buffer[: len(chunk)] = chunk
            yield memoryview(buffer)[: len(chunk)]


class Nobody(CredentialStore):
    def __init__(self, known: Credential | None = None) -> None:
        super().__init__([])
        self._known = known

    def get(self, domain: str, path: str = "") -> Credential | None:
        return self._known


@pytest.fixture
def registry() -> Iterator[TakingRegistry]:
    with TakingRegistry() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(registry: TakingRegistry, pauses: list[float]) -> Iterator[RegistryClient]:
    with RegistryClient(registry.domain, Nobody(), retry=Retry(sleep=pauses.append)) as made:
        yield made


@pytest.mark.parametrize(
    ("data", "methods"), [(SMALL, ["HEAD", "POST", "PUT"]), (DATA, ["HEAD", "POST", "PATCH", "PUT"])]
)
def test_a_blob_is_sent_once(registry: TakingRegistry, client: RegistryClient, data: bytes, methods: list[str]) -> None:
    blob, source, heard = descriptor_of(data), Source(data), list[int]()
    assert client.put_blob("app", blob, source, hear=heard.append) == (Placed.PUSHED, "")
    assert registry.blobs == {("app", blob.digest): data}
    assert registry.methods() == methods
    assert heard[-1] == len(data)
    assert "_state=a%2Fb&n=1&digest=sha256%3A" in registry.seen[-1].path
    assert client.put_blob("app", blob, source) == (Placed.EXISTED, "")
    assert client.has_blob("app", blob)
    assert not client.has_blob("other", blob)
    assert source.offsets == [0]
    assert (registry.sessions, len(registry.connections)) == ({}, 1)


def test_mounted_or_sent(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.blobs["base", BLOB.digest] = DATA
    source = Source(DATA)
    assert client.put_blob("app", BLOB, source, mount_from=["base"]) == (Placed.MOUNTED, "base")
    assert (source.offsets, registry.methods()) == ([], ["HEAD", "POST"])
    assert f"mount={BLOB.digest.replace(':', '%3A')}&from=base" in registry.seen[1].path
    # Where it cannot be mounted the session that was begun instead is used.
    small = descriptor_of(SMALL)
    assert client.put_blob("app", small, Source(SMALL), mount_from=["x", "base"]) == (Placed.PUSHED, "")
    assert registry.methods()[2:] == ["HEAD", "POST", "DELETE", "POST", "PUT"]


def test_no_right_to_mount(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.surprise("POST", "from=secret", status(403), status(405))
    blob = descriptor_of(SMALL)
    assert client.put_blob("app", blob, Source(SMALL), mount_from=["secret", "secret"]) == (Placed.PUSHED, "")


def test_chunks(registry: TakingRegistry, client: RegistryClient) -> None:
    client.upload("app", BLOB, chunk_bytes=1_250_000).send(Source(DATA))
    assert registry.blobs["app", BLOB.digest] == DATA
    ranges = [seen.headers.get("content-range") for seen in registry.seen if seen.method == "PATCH"]
    assert ranges == ["0-1249999", "1250000-2499999", "2500000-2999999"]


@pytest.mark.parametrize("breaks", [[1_234_567], [1], [700_000, 0, 1_500_000, 5], [2_999_999], [3_000_000]])
def test_broken_connections_are_resumed(
    registry: TakingRegistry, client: RegistryClient, pauses: list[float], breaks: list[int]
) -> None:
    registry.breaks = list(breaks)
    client.upload("app", BLOB).send(Source(DATA))
    assert registry.blobs["app", BLOB.digest] == DATA
    assert registry.bytes_taken <= len(DATA) + 1  # "0-0" is one byte, or none: that one is sent again
    assert len(pauses) == len(breaks)


def test_many_breaks_with_progress_between(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.breaks = [300_000] * 9
    client.upload("app", BLOB).send(Source(DATA))
    assert registry.bytes_taken == len(DATA)


def test_breaks_after_much_came_through(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.breaks = [1_500_000] + [0] * 50
    with pytest.raises(RegistryUnreachableError):
        client.upload("app", BLOB).send(Source(DATA))
    assert len(registry.breaks) == 45  # what came through has bought one more than the usual five


def test_a_session_that_is_gone(registry: TakingRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.breaks, registry.forgets = [2_000_000], True
    source = Source(DATA)
    client.upload("app", BLOB).send(source)
    assert registry.blobs["app", BLOB.digest] == DATA
    assert (registry.methods().count("POST"), source.offsets, pauses) == (2, [0, 0], [0.25])


@pytest.mark.parametrize("forgets", [True, False])
def test_endless_breaks_end(registry: TakingRegistry, client: RegistryClient, *, forgets: bool) -> None:
    registry.breaks, registry.forgets = [2_000_000 if forgets else 1000] * 50, forgets
    with pytest.raises(RegistryUnreachableError, match=r"registry failed: blob sha256:.* to .*/app: .* \(5 tries\)"):
        client.put_blob("app", BLOB, Source(DATA))
    assert registry.bytes_taken <= 5 * 2_000_000
    assert len(registry.breaks) == 45
    assert registry.blobs == {}


def test_the_answer_to_the_commit_is_lost(registry: TakingRegistry, client: RegistryClient) -> None:
    for data in (SMALL, DATA):
        registry.loses_commit = True
        client.upload("app", descriptor_of(data)).send(Source(data))
    assert registry.bytes_taken == len(DATA) + len(SMALL)


def test_other_bytes_are_never_completed(registry: TakingRegistry, client: RegistryClient) -> None:
    for wrong in (DATA[:-1] + b"x", b"x" + SMALL[1:]):
        right = DATA if len(wrong) == len(DATA) else SMALL
        with pytest.raises(DigestMismatchError):
            client.put_blob("app", descriptor_of(right), Source(wrong))
    with pytest.raises(SizeMismatchError):
        client.put_blob("app", BLOB, Source(DATA[:-1]))
    assert "PUT" not in registry.methods()
    assert (registry.blobs, registry.sessions) == ({}, {})


def test_no_credential_for_another_host(registry: TakingRegistry, pauses: list[float]) -> None:
    credential = Credential("ann", "secret")
    challenge = needs(credential.basic, "Basic realm=x", status(202))
    with TakingRegistry() as other, RegistryClient(registry.domain, Nobody(credential)) as client:
        # A session there was begun by who has our credential.
        registry.surprise("HEAD", "/blobs/", challenge, status(404))
        other.sessions["7"] = bytearray()
        there = f"http://{other.domain}{other.location('app', '7')}"
        registry.surprise("POST", "/uploads/", status(202, Location=there))
        assert client.put_blob("app", BLOB, Source(DATA)) == (Placed.PUSHED, "")
        assert other.blobs["app", BLOB.digest] == DATA
        assert other.methods() == ["PATCH", "PUT"]
        assert not any("authorization" in seen.headers for seen in other.seen)
        assert registry.seen[-1].headers["authorization"] == credential.basic


def test_a_redirect_of_the_body(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.sessions["7"] = bytearray()
    registry.surprise("PATCH", "/uploads/", status(307, Location=registry.location("app", "7")))
    client.upload("app", BLOB).send(Source(DATA))
    assert registry.blobs["app", BLOB.digest] == DATA


def test_a_location_in_plain_http(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.surprise("POST", "/uploads/", status(202), status(202, Location="ftp://x/"))
    with pytest.raises(RegistryError, match="has no Location"):
        client.put_blob("app", BLOB, Source(DATA))
    with pytest.raises(RegistryError, match="neither http nor https"):
        client.put_blob("app", BLOB, Source(DATA))


def test_token_scopes(registry: TakingRegistry) -> None:
    with HostileRegistry() as service:
        service.on("/token", status(200, b'{"token":"t1"}'), status(200, b'{"token":"t2","expires_in":3600}'))
        challenge = status(401, WWW_Authenticate=f'Bearer realm="http://{service.domain}/token",service="s"')
        registry.surprise("HEAD", "/blobs/", challenge)
        registry.surprise("POST", "from=base", challenge)
        with RegistryClient(registry.domain, Nobody()) as client:
            client.put_blob("app", BLOB, Source(DATA), mount_from=["base"])
        asked = [seen.path.partition("service=s&")[2] for seen in service.seen]
    assert asked[0] == "scope=repository%3Aapp%3Apull%2Cpush"
    assert asked[1] == "scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%3Apull"
    assert [seen.headers.get("authorization") for seen in registry.seen if seen.method in ("PATCH", "PUT")] == [
        "Bearer t1"
    ] * 2


def test_a_token_that_expires_on_the_way(registry: TakingRegistry, pauses: list[float]) -> None:
    with HostileRegistry() as service:
        service.on("/token", status(200, b'{"token":"t1"}'))
        challenge = status(401, WWW_Authenticate=f'Bearer realm="http://{service.domain}/token"')
        registry.surprise("PATCH", "/uploads/", challenge)
        with RegistryClient(registry.domain, Nobody(), retry=Retry(sleep=pauses.append)) as client:
            client.put_blob("app", BLOB, Source(DATA))
    assert registry.blobs["app", BLOB.digest] == DATA
    assert registry.seen[-1].headers["authorization"] == "Bearer t1"


@pytest.mark.parametrize(
    ("code", "headers", "kind", "words", "hint"),
    [
        (401, {"WWW_Authenticate": "Basic realm=x"}, AuthenticationError, "access denied: blob", "not logged in: `"),
        (403, {}, AuthenticationError, "access denied: blob", "pyrun login "),
        (404, {}, ManifestUnknownError, "not found: blob", "made on their site first"),
        (405, {}, RegistryError, "registry failed: blob", "read-only"),
        (413, {}, RegistryError, "registry failed: blob", "client_max_body_size"),
        (429, {"Retry_After": "120"}, RegistryError, "too many requests: blob", "wait for 120 seconds"),
        (500, {}, RegistryUnreachableError, "registry failed: blob", "try again later"),
    ],
)  # fmt: skip
def test_refusals(
    registry: TakingRegistry,
    client: RegistryClient,
    code: int,
    headers: dict[str, str],
    kind: type[RegistryError],
    words: str,
    hint: str,
) -> None:
    registry.surprise("POST", "/uploads/", *[status(code, b"", **headers)] * 9)
    with pytest.raises(kind, match=words) as caught:
        client.put_blob("app", BLOB, Source(DATA))
    assert type(caught.value) is kind
    assert hint in caught.value.hint
    assert caught.value.status == code


def test_too_large_in_the_middle(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.surprise("PATCH", "/uploads/", status(413))  # hangs up without reading the body
    with pytest.raises(RegistryError, match="status 413") as caught:
        client.put_blob("app", BLOB, Source(DATA))
    assert caught.value.status == 413
    assert registry.sessions == {}


def test_a_busy_registry_is_waited_for(registry: TakingRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.surprise("POST", "/uploads/", status(429, Retry_After="7"))
    registry.surprise("PATCH", "/uploads/", status(503, Retry_After="3"))
    client.put_blob("app", BLOB, Source(DATA))
    assert (registry.blobs["app", BLOB.digest], pauses) == (DATA, [7.0, 3.0])


def test_manifests(registry: TakingRegistry, client: RegistryClient) -> None:
    data = b"{}"
    digest = client.put_manifest("app", "1", media_types.OCI_MANIFEST, data)
    assert digest == client.put_manifest("app", digest_of(data), media_types.OCI_MANIFEST, data) == digest_of(data)
    assert registry.manifests["app", "1"] == (media_types.OCI_MANIFEST, data)
    with pytest.raises(DigestMismatchError):
        client.put_manifest("app", digest_of(b"x"), media_types.OCI_MANIFEST, data)
    registry.surprise("PUT", "/manifests/", status(201, Docker_Content_Digest=digest_of(b"x")))
    with pytest.raises(DigestMismatchError):
        client.put_manifest("app", "2", media_types.OCI_MANIFEST, data)
    client.delete_manifest("app", digest)
    with pytest.raises(ManifestUnknownError):
        client.delete_manifest("app", digest)


def test_tags_page_by_page(registry: TakingRegistry, client: RegistryClient) -> None:
    registry.surprise(
        "GET", "/tags/list", status(200, b'{"tags":["1"]}', Link='</v2/app/tags/list?n=1&last=1>; rel="next"')
    )
    registry.surprise("GET", "last=1", status(200, b'{"tags":["2"]}'))
    assert list(tags(client, "app")) == ["1", "2"]
