"""Docker's token protocol against docker-registry 2.8 with `auth: token`, and a service that signs tokens for it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun.engine.login import Registry
from pyrun.errors import AuthenticationError
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.reference import parse_normalized
from pyrun.registry.client import RegistryClient
from tests.support.registry_hostile import HostileRegistry, digest_of, manifest_of, status
from tests.support.registry_real import PASSWORD, USER, push, running_registry
from tests.support.token_server import SERVICE, TokenServer

CONFIG = b"{}"
LAYER = random.Random(5).randbytes(500_000)
MANIFEST = manifest_of(CONFIG, LAYER)
DESCRIPTOR = Descriptor(media_types.OCI_LAYER_GZIP, digest_of(LAYER), len(LAYER))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with TokenServer(tmp_path_factory.mktemp("service"), USER, PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def domain(service: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image is in team/app and team/other."""
    directory = tmp_path_factory.mktemp("blobs")
    with running_registry(directory) as plain:
        for name in ("team/app", "team/other"):
            push(plain, name, "1", MANIFEST, CONFIG, LAYER)
    with running_registry(directory, auth=service.auth) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(service: TokenServer) -> None:
    service.refresh = ""
    service.lifetimes.clear()
    service.asked_for.clear()
    service.seen.clear()


def pull(domain: str, name: str = "team/app", client: RegistryClient | None = None) -> None:
    with client or RegistryClient(domain) as made:
        assert json.loads(made.resolve(parse_normalized(f"{domain}/{name}:1"))[1]) == MANIFEST
        with made.blob(name, DESCRIPTOR) as blob:
            assert blob.read() == LAYER


def test_nobody_in_particular_is_refused(domain: str, service: TokenServer) -> None:
    with pytest.raises(AuthenticationError, match=f"access denied: {domain}/team/app:1") as caught:
        pull(domain)
    assert f"pyrun login {domain}" in caught.value.hint
    assert service.asked_for  # it was asked, and gave a token without any right: the registry's second 401 ends it
    assert len(service.asked_for) <= 3


def test_password(domain: str, service: TokenServer, home: Path) -> None:
    with pytest.raises(AuthenticationError, match="wrong user name or password"):
        Registry(domain).log_in(USER, "battery staple")
    assert not (home / ".docker").exists()
    assert Registry(domain).log_in(USER, PASSWORD) == str(home / ".docker/config.json")
    service.asked_for.clear()
    with RegistryClient(domain) as client:
        pull(domain, client=client)
        pull(domain, client=client)
        assert service.asked_for == [{"service": [SERVICE], "scope": ["repository:team/app:pull"], "account": [USER]}]
        pull(domain, "team/other", client)
    assert [fields["scope"] for fields in service.asked_for[1:]] == [["repository:team/other:pull"]]


def test_identity_token_in_place_of_the_password(domain: str, service: TokenServer, home: Path) -> None:
    service.refresh = "long-lived"
    assert Registry(domain).log_in(USER, PASSWORD) == ""  # no password is readable
    assert service.asked_for[-1]["offline_token"] == ["true"]
    (entry,) = json.loads((home / ".docker/config.json").read_text())["auths"].values()
    assert entry == {"auth": "YW5uOg==", "identitytoken": "long-lived"}
    service.seen.clear()
    pull(domain)
    (asked,) = service.seen
    assert asked.method == "POST"
    assert "authorization" not in asked.headers
    sent = service.asked_for[-1]
    assert sent["grant_type"] == ["refresh_token"]
    assert sent["scope"] == ["repository:team/app:pull"]
    assert Registry(domain).log_in_again() == USER
    service.refresh = "another"
    with pytest.raises(AuthenticationError, match="the identity token is not accepted"):
        pull(domain)
    with pytest.raises(AuthenticationError, match="login failed"):
        Registry(domain).log_in_again()


def test_registry_token(domain: str, service: TokenServer, home: Path) -> None:
    token = service._sign([{"type": "repository", "name": "team/app", "actions": ["pull"]}])
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(json.dumps({"auths": {domain: {"registrytoken": token}}}))
    pull(domain)
    assert not service.seen
    with pytest.raises(AuthenticationError, match="the registry token is not accepted"):
        pull(domain, "team/other")


def test_tokens_that_are_over_are_renewed(domain: str, service: TokenServer) -> None:
    Registry(domain).log_in(USER, PASSWORD)
    service.asked_for.clear()
    service.lifetimes = [-900]
    pull(domain)
    assert len(service.asked_for) == 2
    service.lifetimes = [-900] * 9
    with pytest.raises(AuthenticationError, match="refuses the token that it asked for"):
        pull(domain)


def test_a_token_that_ends_between_two_layers(
    domain: str, service: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen by the registry: the client thinks that it is good still."""
    Registry(domain).log_in(USER, PASSWORD)
    with RegistryClient(domain) as client:
        pull(domain, client=client)
        asked = len(service.asked_for)
        (authorizer,) = client._requests._authorizers.values()
        over = f"Bearer {_over(service)}"
        authorizer._headers = {scope: (over, expires) for scope, (_, expires) in authorizer._headers.items()}
        with client.blob("team/app", DESCRIPTOR) as blob:
            assert blob.read() == LAYER
        assert len(service.asked_for) == asked + 1


def _over(service: TokenServer) -> str:
    service.lifetimes = [-900]
    return service._sign([{"type": "repository", "name": "team/app", "actions": ["pull"]}])


def test_several_scopes_are_asked_for_one_by_one(service: TokenServer, home: Path) -> None:
    with HostileRegistry() as registry:
        scopes = "repository:a:pull repository:b:pull,push"
        challenge = f'Bearer realm="http://{service.domain}/token",service="s",scope="{scopes}"'
        registry.on("/v2/", status(401, WWW_Authenticate=challenge), status(200))
        with RegistryClient(registry.domain) as client:
            client.ping()
    assert service.asked_for == [{"service": ["s"], "scope": scopes.split()}]
