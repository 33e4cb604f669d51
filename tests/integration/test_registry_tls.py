"""TLS and proxies: certs.d with CAs and client certificates, CONNECT with and without a password, NO_PROXY."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun.errors import RegistryError, RegistryUnreachableError
from pyrun.registry.client import RegistryClient
from pyrun.registry.credentials import CredentialStore
from pyrun.registry.retry import Retry
from tests.support import signing
from tests.support.certificates import Authority
from tests.support.command_line import CommandLine
from tests.support.connect_proxy import ConnectProxy
from tests.support.registry_hostile import HostileRegistry, status

HOST = "registry.invalid"
NOBODY = CredentialStore([])


@pytest.fixture(autouse=True)
def certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's certs.d, empty; no proxy."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "XDG_CONFIG_HOME", "PYRUN_INSECURE_REGISTRIES"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".config/containers/certs.d"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def served(authority: Authority) -> tuple[str, str]:
    return authority.issue("server", f"DNS:{HOST}", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def shown(authority: Authority) -> tuple[str, str]:
    """A client's certificate and key."""
    return authority.issue("client")


@pytest.fixture
def secure(served: tuple[str, str]) -> Iterator[HostileRegistry]:
    with HostileRegistry(served) as running:
        running.on("/v2/", status(200))
        yield running


@pytest.fixture
def demanding(served: tuple[str, str], authority: Authority) -> Iterator[HostileRegistry]:
    with HostileRegistry(served, client_authority=str(authority.certificate)) as running:
        running.on("/v2/", status(200))
        yield running


def ping(domain: str, *, tls_verify: bool | None = None) -> None:
    retry = Retry(tries=2, sleep=lambda _: None)
    with RegistryClient(domain, NOBODY, tls_verify=tls_verify, retry=retry) as client:
        client.ping()


def put(directory: Path, **files: str | Path) -> Path:
    """Copy certificates: ``ca_crt=FILE`` becomes ca.crt."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        shutil.copy(file, directory / name.replace("_", "."))
    return directory


# certs.d


def test_unknown_authority_and_the_place_for_its_certificate(
    certs: Path, secure: HostileRegistry, authority: Authority
) -> None:
    with pytest.raises(RegistryUnreachableError, match="its certificate is not trusted: unable to get local") as caught:
        ping(secure.domain)
    file = certs / secure.domain / "ca.crt"
    assert caught.value.hint == f"put the certificate of its authority into {file}"
    put(file.parent, ca_crt=authority.certificate)
    ping(secure.domain)


def test_a_directory_of_certificates_instead(
    demanding: HostileRegistry, authority: Authority, shown: tuple[str, str], certs: Path, tmp_path: Path
) -> None:
    """--cert-dir: what certs.d has counts no more."""
    put(certs / demanding.domain, ca_crt=Authority(tmp_path / "stranger").certificate)
    certificate, key = shown
    directory = put(tmp_path / "mine", ca_crt=authority.certificate, client_cert=certificate, client_key=key)
    with RegistryClient(demanding.domain, NOBODY, tls_verify=True, cert_dir=str(directory)) as client:
        client.ping()
    (directory / "client.key").unlink()
    with (
        RegistryClient(demanding.domain, NOBODY, tls_verify=True, cert_dir=str(directory)) as client,
        pytest.raises(RegistryError, match=f"{directory}/client.cert: client.key is missing"),
    ):
        client.ping()


def test_every_verb_takes_a_directory_of_certificates(pyrun: CommandLine) -> None:
    (pyrun.home / "file").touch()
    (pyrun.home / "cosign.pub").write_bytes(signing.KEY.public.pem())
    name = "127.0.0.1:1/x:1"
    for words in (
        ["pull", name], ["login", "-u", "a", "-p", "b", "127.0.0.1:1"], ["search", "127.0.0.1:1/x"],
        ["registry", "copy", name, name], ["manifest", "inspect", name],
        ["image", "verify", "--key", "cosign.pub", name],
    ):  # fmt: skip
        assert "cannot read certificates: file: not a directory" in pyrun.fails(1, *words, "--cert-dir", "file")


def test_certificate_of_another_host(certs: Path, tmp_path: Path, authority: Authority) -> None:
    with HostileRegistry(authority.issue("other", "DNS:elsewhere.invalid")) as registry:
        put(certs / registry.domain, ca_crt=authority.certificate)
        with pytest.raises(RegistryUnreachableError, match="IP address mismatch") as caught:
            ping(registry.domain)
        assert "of another host" in caught.value.hint


def test_expired_certificate(certs: Path, authority: Authority) -> None:
    with HostileRegistry(authority.issue("old", "IP:127.0.0.1", days=-1)) as registry:
        put(certs / registry.domain, ca_crt=authority.certificate)
        with pytest.raises(RegistryUnreachableError, match="certificate has expired") as caught:
            ping(registry.domain)
        assert "clock" in caught.value.hint


def test_client_certificate(
    certs: Path, demanding: HostileRegistry, authority: Authority, shown: tuple[str, str]
) -> None:
    directory = put(certs / demanding.domain, ca_crt=authority.certificate)
    with pytest.raises(RegistryUnreachableError, match="without a client certificate that it knows") as caught:
        ping(demanding.domain)
    assert f"{directory}/client.cert" in caught.value.hint
    assert not demanding.seen
    put(directory, client_cert=shown[0], client_key=shown[1])
    ping(demanding.domain)
    assert len(demanding.seen) == 1
    (directory / "ca.crt").unlink()
    ping(demanding.domain, tls_verify=False)  # our certificate is shown to whom we do not verify, too


def test_the_users_pair_is_before_docker_s(
    certs: Path, demanding: HostileRegistry, authority: Authority, shown: tuple[str, str], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger").issue("stranger")
    put(certs / demanding.domain, ca_crt=authority.certificate, client_cert=stranger[0], client_key=stranger[1])
    docker = certs.parent.parent / "docker/certs.d"
    put(docker / demanding.domain, client_cert=shown[0], client_key=shown[1])
    with pytest.raises(RegistryUnreachableError, match=r"client certificate that it knows: tlsv1 alert unknown ca"):
        ping(demanding.domain)
    (certs / demanding.domain / "client.cert").unlink()
    (certs / demanding.domain / "client.key").unlink()
    ping(demanding.domain)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"a_cert": 0}, "a.cert: a.key is missing"),
        ({"a_key": 1}, "a.key: a.cert is missing"),
        ({"a_cert": 0, "b_key": 1}, "a.cert: a.key is missing"),
        ({"a_cert": 1, "a_key": 1}, "a.cert: no certificate in PEM form, or a.key is not its key"),
    ],
)
def test_half_a_pair(
    certs: Path, secure: HostileRegistry, shown: tuple[str, str], files: dict[str, int], complaint: str
) -> None:
    directory = put(certs / secure.domain, **{name: shown[number] for name, number in files.items()})
    with pytest.raises(RegistryError) as caught:
        ping(secure.domain, tls_verify=True)
    assert caught.value.message == f"cannot load certificate: {directory}/{complaint}"


def test_bad_files(certs: Path, secure: HostileRegistry, shown: tuple[str, str]) -> None:
    directory = put(certs / secure.domain, ca_crt=shown[1])
    with pytest.raises(RegistryError, match=f"cannot load certificate: {directory}/ca.crt: no certificate in PEM form"):
        ping(secure.domain, tls_verify=True)
    (directory / "ca.crt").unlink()
    put(directory, client_cert=shown[0])
    encrypt = ["openssl", "ec", "-in", shown[1], "-aes256", "-passout", "pass:x", "-out", str(directory / "client.key")]
    subprocess.run(encrypt, check=True, capture_output=True)
    with pytest.raises(RegistryError, match=f"cannot load certificate: {directory}/client.key: it is encrypted"):
        ping(secure.domain, tls_verify=True)
    (directory / "client.key").unlink()
    (directory / "client.key").symlink_to("nowhere")
    with pytest.raises(RegistryError, match=f"cannot load certificate: {directory}/client.key: no such file"):
        ping(secure.domain, tls_verify=True)


def test_loopback_may_be_held_to_tls(secure: HostileRegistry) -> None:
    with HostileRegistry() as plain:
        plain.on("/v2/", status(200))
        ping(plain.domain)
        with pytest.raises(RegistryUnreachableError, match="it does not speak TLS"):
            ping(plain.domain, tls_verify=True)
        assert len(plain.seen) == 1
    ping(secure.domain, tls_verify=False)


# Proxies


@pytest.fixture
def trusted(certs: Path, authority: Authority) -> None:
    put(certs / HOST, ca_crt=authority.certificate)


def test_tls_through_a_proxy(secure: HostileRegistry, trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy({f"{HOST}:443": secure.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.authority}")
        ping(HOST)
        assert proxy.seen == [f"CONNECT {HOST}:443"]
        assert secure.seen[0].headers["host"] == HOST
        ping(secure.domain, tls_verify=False)  # loopback is never proxied
        assert len(proxy.seen) == 1


def test_proxy_with_a_password(secure: HostileRegistry, trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy({f"{HOST}:443": secure.port}, user="us@er", password="s:cret") as proxy:
        monkeypatch.setenv("https_proxy", f"http://us%40er:s%3Acret@{proxy.authority}")
        ping(HOST)
        assert "proxy-authorization" not in secure.seen[0].headers
        for given in ("", "us%40er:wrong@"):
            monkeypatch.setenv("https_proxy", f"http://{given}{proxy.authority}")
            with pytest.raises(RegistryUnreachableError, match=f"407 .*proxy {proxy.authority}") as caught:
                ping(HOST)
            assert f"https_proxy=http://USER:PASSWORD@{proxy.authority}" in caught.value.hint
            assert "wrong" not in f"{caught.value} {caught.value.hint}"


def test_a_proxy_that_is_spoken_to_by_tls(
    certs: Path, secure: HostileRegistry, served: tuple[str, str], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(certs / HOST, ca_crt=authority.certificate)
    with ConnectProxy({f"{HOST}:443": secure.port}, user="u", password="p", certificate=served) as proxy:
        monkeypatch.setenv("https_proxy", f"https://u:p@{proxy.authority}")
        with pytest.raises(RegistryUnreachableError, match="its certificate is not trusted"):
            ping(HOST)
        assert not proxy.seen
        put(certs / proxy.authority, ca_crt=authority.certificate)
        with RegistryClient(HOST, NOBODY) as client:
            client.ping()
            client.ping()
        assert proxy.seen == [f"CONNECT {HOST}:443"]
        assert len(secure.seen) == 2
        big = bytes(range(256)) * 8000
        secure.on("/v2/", status(200, big), status(200, big, Connection="close"))
        for _ in range(2):
            with RegistryClient(HOST, NOBODY) as client:
                answer = client._requests.send("GET", "/v2/", {}, repository="", what="it")
                with answer:
                    assert answer.read(len(big)) == big
        put(certs / HOST, ca_crt=Path(served[0]))
        (certs / HOST / "ca.crt").unlink()
        with pytest.raises(
            RegistryUnreachableError, match=f"cannot reach registry: {HOST}: its certificate is not tru"
        ):
            ping(HOST)


def test_plain_http_through_a_proxy(monkeypatch: pytest.MonkeyPatch, served: tuple[str, str], certs: Path) -> None:
    monkeypatch.setenv("PYRUN_INSECURE_REGISTRIES", HOST)
    with HostileRegistry() as plain, ConnectProxy({f"{HOST}:80": plain.port, HOST: plain.port}) as proxy:
        plain.on("/v2/", status(200))
        monkeypatch.setenv("http_proxy", f"http://{proxy.authority}")
        with HostileRegistry() as gone:
            pass
        monkeypatch.setenv("https_proxy", f"http://{gone.domain}")
        ping(HOST)
        assert proxy.seen == [f"GET http://{HOST}/v2/"]


def test_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileRegistry() as gone:
        pass
    monkeypatch.setenv("https_proxy", f"http://user:hidden@{gone.domain}")
    with pytest.raises(RegistryUnreachableError, match=f"connection refused .proxy {gone.domain}") as caught:
        ping(HOST)
    assert caught.value.hint == "check https_proxy, or name the registry in NO_PROXY"


def test_no_proxy(secure: HostileRegistry, trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy({f"{HOST}:443": secure.port}) as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy.authority}")
        monkeypatch.setenv("no_proxy", "a.example, .invalid")
        with pytest.raises(RegistryUnreachableError, match="host name not known"):
            ping(HOST)
        assert not proxy.seen
