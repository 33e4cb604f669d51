"""The client against registries that lie, break off, redirect, refuse and flood."""

from __future__ import annotations

import random
import threading
from binascii import b2a_base64
from collections.abc import Iterator
from typing import Any

import pytest

from pyrun.errors import (
    AuthenticationError,
    DigestMismatchError,
    InvalidConfigError,
    ManifestUnknownError,
    RegistryError,
    RegistryUnreachableError,
    SizeMismatchError,
)
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.reference import Reference, parse_normalized
from pyrun.registry.client import RegistryClient
from pyrun.registry.credentials import Credential, CredentialStore
from pyrun.registry.retry import Retry
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document, manifest_of, needs, status
from tests.support.registry_real import make_certificate

DATA = random.Random(1).randbytes(3_000_000)
LAYER = Descriptor(media_types.OCI_LAYER_GZIP, digest_of(DATA), len(DATA))
PATH = f"/v2/app/blobs/{LAYER.digest}"
MANIFEST = manifest_of(b"{}", DATA)


class Known(CredentialStore):
    """Knows one user for every registry."""

    def __init__(self, user: str = "", password: str = "", identity_token: str = "") -> None:
        super().__init__([])
        self._known = Credential(user, password, identity_token) if user or identity_token else None

    def get(self, domain: str, path: str = "") -> Credential | None:
        return self._known


ANONYMOUS = Known()


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(registry: HostileRegistry, pauses: list[float]) -> Iterator[RegistryClient]:
    with RegistryClient(registry.domain, ANONYMOUS, retry=Retry(sleep=pauses.append)) as made:
        yield made


def reference(registry: HostileRegistry, rest: str = "app:1") -> Reference:
    return parse_normalized(f"{registry.domain}/{rest}")


def fetch(client: RegistryClient, descriptor: Descriptor = LAYER, offset: int = 0) -> bytes:
    with client.blob("app", descriptor, offset) as stream:
        return b"".join(stream)


def basic(user: str, password: str) -> str:
    return "Basic " + b2a_base64(f"{user}:{password}".encode(), newline=False).decode()


# Manifests


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


# Blobs


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


# Redirects


def test_redirect_to_another_host_gets_no_credentials(registry: HostileRegistry) -> None:
    with HostileRegistry() as other:
        there = f"http://{other.domain}/store?signature=a%2Fb"
        challenge = 'Basic realm="x"'
        registry.on(PATH, needs(basic("ann", "secret"), challenge, status(307, Location=there)))
        other.on("/store", blob(DATA, cut=1_000_000), blob(DATA))
        with RegistryClient(registry.domain, Known("ann", "secret"), retry=Retry(sleep=lambda _: None)) as client:
            assert fetch(client) == DATA
    assert registry.seen[1].headers["authorization"] == basic("ann", "secret")
    assert [seen.path for seen in other.seen] == ["/store?signature=a%2Fb"] * 2
    assert all("authorization" not in seen.headers for seen in other.seen)
    assert other.seen[1].headers["range"].startswith("bytes=1000000-")


def test_redirect_on_the_same_host_keeps_them(registry: HostileRegistry) -> None:
    secret = basic("ann", "secret")
    registry.on(PATH, needs(secret, "Basic", status(302, Location="/elsewhere")))
    registry.on("/elsewhere", needs(secret, "Basic", blob(DATA)))
    with RegistryClient(registry.domain, Known("ann", "secret")) as client:
        assert fetch(client) == DATA


def test_redirect_loop(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(307, Location=PATH))
    with pytest.raises(RegistryError, match="redirects in circles"):
        fetch(client)
    assert len(registry.seen) == 6


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://x/", "http://a b/", "http://[::1/", "http://h:99999/"]
)
def test_redirect_to_what_is_no_http(registry: HostileRegistry, client: RegistryClient, location: str) -> None:
    registry.on(PATH, status(307, Location=location))
    with pytest.raises(RegistryError, match="invalid URL"):
        fetch(client)


def test_a_challenge_of_another_host_is_not_answered(registry: HostileRegistry) -> None:
    with HostileRegistry() as other:
        registry.on(PATH, needs(basic("ann", "secret"), "Basic", status(307, Location=f"http://{other.domain}/blob")))
        other.on("/blob", status(401, WWW_Authenticate=f'Bearer realm="http://{other.domain}/token"'))
        other.on("/token", status(200, b'{"token":"T"}'))
        with RegistryClient(registry.domain, Known("ann", "secret")) as client, pytest.raises(AuthenticationError):
            fetch(client)
    assert [seen.path for seen in other.seen] == ["/blob"]
    assert "authorization" not in other.seen[0].headers


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: tuple[str, str]) -> Iterator[HostileRegistry]:
    with HostileRegistry(certificate) as running:
        yield running


def test_no_way_from_tls_to_plain_http(registry: HostileRegistry, secure: HostileRegistry) -> None:
    secure.on(PATH, status(307, Location=f"http://{registry.domain}/blob"))
    registry.on("/blob", blob(DATA))
    with RegistryClient(secure.domain, ANONYMOUS, insecure=[secure.domain]) as client:
        with pytest.raises(RegistryError, match=f"points to plain HTTP: {registry.domain}") as caught:
            fetch(client)
        assert "PYRUN_INSECURE_REGISTRIES" in caught.value.hint
    assert registry.seen == []
    with RegistryClient(secure.domain, ANONYMOUS, insecure=[secure.domain, registry.domain]) as client:
        assert fetch(client) == DATA


def test_no_password_for_a_token_service_over_plain_http(registry: HostileRegistry, secure: HostileRegistry) -> None:
    secure.on(PATH, status(401, WWW_Authenticate=f'Bearer realm="http://{registry.domain}/token"'))
    client = RegistryClient(secure.domain, Known("ann", "secret"), insecure=[secure.domain])
    with client, pytest.raises(RegistryError, match="asks for credentials over plain HTTP"):
        fetch(client)
    assert registry.seen == []


# Authorization


def test_no_password_over_plain_http_to_a_third_host(registry: HostileRegistry) -> None:
    """That the registry is on this machine says nothing of a token service elsewhere."""
    with HostileRegistry() as elsewhere:
        there = f"0.0.0.0:{elsewhere.port}"
        registry.on("/v2/", status(401, WWW_Authenticate=f'Bearer realm="http://{there}/token"'))
        client = RegistryClient(registry.domain, Known("ann", "secret"))
        with client, pytest.raises(RegistryError, match=f"asks for credentials over plain HTTP at {there}"):
            client.ping()
        assert not elsewhere.seen


def test_token_is_fetched_once_and_sent(registry: HostileRegistry) -> None:
    realm = f'Bearer realm="http://{registry.domain}/token",service="reg",scope="repository:app:pull"'
    registry.on("/token", status(200, b'{"token":"T1","expires_in":300}'))
    digest, answer = document(MANIFEST)
    registry.on("/v2/app/manifests/1", needs("Bearer T1", realm, answer))
    registry.on(PATH, needs("Bearer T1", realm, blob(DATA)))
    with RegistryClient(registry.domain, Known("ann", "secret")) as client:
        assert client.resolve(reference(registry))[0].digest == digest
        assert fetch(client) == DATA
    (token,) = registry.asked("/token")
    assert token.path == "/token?service=reg&account=ann&scope=repository%3Aapp%3Apull"
    assert token.headers["authorization"] == basic("ann", "secret")
    assert [seen.path for seen in registry.seen] == ["/v2/app/manifests/1", token.path, "/v2/app/manifests/1", PATH]


def test_anonymous_token(registry: HostileRegistry, client: RegistryClient) -> None:
    realm = f'Bearer realm="http://{registry.domain}/token"'
    registry.on("/token", status(200, b'{"access_token":"T2"}'))
    registry.on(PATH, needs("Bearer T2", realm, blob(DATA)))
    assert fetch(client) == DATA
    (token,) = registry.asked("/token")
    assert token.path == "/token?scope=repository%3Aapp%3Apull"
    assert "authorization" not in token.headers


def test_identity_token(registry: HostileRegistry) -> None:
    realm = f'Bearer realm="http://{registry.domain}/token",service="reg"'
    registry.on("/token", status(200, b'{"access_token":"T3"}'))
    registry.on(PATH, needs("Bearer T3", realm, blob(DATA)))
    with RegistryClient(registry.domain, Known(identity_token="long-lived")) as client:
        assert fetch(client) == DATA
    (token,) = registry.asked("/token")
    assert token.method == "POST"
    assert b"grant_type=refresh_token" in token.body
    assert b"refresh_token=long-lived" in token.body


def test_expired_token_is_replaced(registry: HostileRegistry, client: RegistryClient) -> None:
    realm = f'Bearer realm="http://{registry.domain}/token"'
    registry.on("/token", status(200, b'{"token":"OLD","expires_in":300}'), status(200, b'{"token":"NEW"}'))
    first, second = needs("Bearer OLD", realm, blob(DATA)), needs("Bearer NEW", realm, blob(DATA))
    registry.on(PATH, first, first, second)
    assert fetch(client) == DATA
    assert fetch(client) == DATA
    assert len(registry.asked("/token")) == 2


def test_endless_401(registry: HostileRegistry) -> None:
    realm = f'Bearer realm="http://{registry.domain}/token"'
    registry.on("/token", status(200, b'{"token":"T"}'))
    registry.on("/v2/app/manifests/1", status(401, WWW_Authenticate=realm))
    with (
        RegistryClient(registry.domain, Known("ann", "secret")) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.resolve(reference(registry))
    assert caught.value.status == 401
    assert "as another" in caught.value.hint
    assert len(registry.seen) <= 6


@pytest.mark.parametrize("challenge", ["", "Basic realm=x", "Negotiate", "Digest realm=x, nonce=y"])
def test_endless_401_without_token(registry: HostileRegistry, challenge: str) -> None:
    registry.on("/v2/app/manifests/1", status(401, WWW_Authenticate=challenge))
    with RegistryClient(registry.domain, Known("ann", "secret")) as client, pytest.raises(AuthenticationError):
        client.resolve(reference(registry))
    assert len(registry.seen) <= 2


def test_wrong_password(registry: HostileRegistry) -> None:
    registry.on("/v2/app/manifests/1", needs(basic("ann", "right"), "Basic", document(MANIFEST)[1]))
    with RegistryClient(registry.domain, Known("ann", "wrong")) as client, pytest.raises(AuthenticationError) as caught:
        client.resolve(reference(registry))
    assert "wrong user name or password" in caught.value.message
    assert f"pyrun login {registry.domain}" in caught.value.hint
    assert "wrong" not in caught.value.hint


@pytest.mark.parametrize(
    "token", [b"{}", b"[]", b"nonsense", b'{"token":"a\\r\\nX: y"}', b'{"token":""}', b'{"token":7}']
)
def test_token_service_answers_no_token(registry: HostileRegistry, client: RegistryClient, token: bytes) -> None:
    registry.on("/token", status(200, token))
    registry.on(PATH, status(401, WWW_Authenticate=f'Bearer realm="http://{registry.domain}/token"'))
    with pytest.raises(RegistryError, match="answered no token"):
        fetch(client)


def test_forbidden(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(403, b'{"errors":[{"code":"DENIED","message":"go away\\u001b[2J"}]}'))
    with pytest.raises(AuthenticationError, match=r"denied: go away \[2J") as caught:
        fetch(client)
    assert "private" in caught.value.hint
    assert caught.value.message.isprintable()


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


def test_503_forever(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    registry.on("/v2/app/manifests/1", status(503))
    with pytest.raises(RegistryUnreachableError) as caught:
        client.resolve(reference(registry))
    assert (caught.value.status, len(registry.seen), len(pauses)) == (503, 5, 4)


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
