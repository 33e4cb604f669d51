"""Where a registry points to: without its credentials, and not from TLS to plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyrun.errors import (
    AuthenticationError,
    RegistryError,
)
from pyrun.registry.client import RegistryClient
from pyrun.registry.retry import Retry
from tests.support.registry_asking import ANONYMOUS, DATA, PATH, Known, basic, fetch
from tests.support.registry_hostile import HostileRegistry, blob, needs, status
from tests.support.registry_real import make_certificate


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
