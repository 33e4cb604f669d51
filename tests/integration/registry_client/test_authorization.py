"""What a registry asks for before it answers: passwords and tokens, or too much."""

from __future__ import annotations

import pytest

from pyrun.errors import (
    AuthenticationError,
    RegistryError,
)
from pyrun.registry.client import RegistryClient
from pyrun.registry.retry import Retry
from tests.support.registry_asking import ANONYMOUS, DATA, MANIFEST, PATH, Known, basic, fetch, reference
from tests.support.registry_hostile import HostileRegistry, blob, document, needs, status


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


@pytest.mark.parametrize("answer", [b"[]", b'{"token":""}', b'{"token":"T","expires_in":1' + b"0" * 400 + b"}"])
def test_a_token_service_of_nonsense(registry: HostileRegistry, client: RegistryClient, answer: bytes) -> None:
    registry.on("/token", status(200, answer))
    registry.on(PATH, status(401, WWW_Authenticate=f'Bearer realm="http://{registry.domain}/token"'))
    with pytest.raises(RegistryError, match="its token service answered no token"):
        fetch(client)


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


def test_a_token_service_that_is_busy(registry: HostileRegistry, client: RegistryClient, pauses: list[float]) -> None:
    challenge = f'Bearer realm="http://{registry.domain}/token"'
    registry.on("/token", status(429, Retry_After="3"), status(503), status(200, b'{"token":"t","expires_in":"nan"}'))
    registry.on(PATH, needs("Bearer t", challenge, blob(DATA)))
    assert fetch(client) == DATA
    assert pauses == [3.0, 0.5]
    registry.on("/token", status(503))
    retry, busy = Retry(tries=2, sleep=pauses.append), pytest.raises(RegistryError, match="service answered 503")
    with RegistryClient(registry.domain, ANONYMOUS, retry=retry) as other, busy as caught:
        fetch(other)
    assert caught.value.hint == "try again later"


@pytest.mark.parametrize("token", ["", "refresh"])
def test_a_token_service_that_leads_elsewhere(registry: HostileRegistry, token: str) -> None:
    with HostileRegistry() as thief:
        thief.on("/token", status(200, b'{"token":"x"}'))
        registry.on("/token", status(307, Location=f"http://{thief.domain}/token"))
        registry.on(PATH, status(401, WWW_Authenticate=f'Bearer realm="http://{registry.domain}/token"'))
        known = Known("ann", "" if token else "hidden", token)
        with RegistryClient(registry.domain, known) as client, pytest.raises(RegistryError):
            fetch(client)
        assert not any("authorization" in seen.headers or seen.body for seen in thief.seen)
    registry.on("/token", status(307, Location="/token"))
    with RegistryClient(registry.domain, ANONYMOUS) as client, pytest.raises(RegistryError, match="in circles"):
        fetch(client)


def test_forbidden(registry: HostileRegistry, client: RegistryClient) -> None:
    registry.on(PATH, status(403, b'{"errors":[{"code":"DENIED","message":"go away\\u001b[2J"}]}'))
    with pytest.raises(AuthenticationError, match=r"denied: go away \[2J") as caught:
        fetch(client)
    assert "private" in caught.value.hint
    assert caught.value.message.isprintable()
