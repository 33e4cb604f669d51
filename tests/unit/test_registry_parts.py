"""The registry client's parts that need no network: challenges, back-off, URLs, proxies."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun.errors import InvalidInputError, InvalidReferenceError, RegistryError
from pyrun.registry.agent import user_agent
from pyrun.registry.auth import Server
from pyrun.registry.challenge import parse_challenges
from pyrun.registry.client import RegistryClient
from pyrun.registry.proxy import proxy_for
from pyrun.registry.retry import Retry, seconds_of
from pyrun.registry.url import Url, authority_of, is_loopback, split_authority


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="a b"', [("basic", {"realm": "a b"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("BEARER Realm=x , Service = y", [("bearer", {"realm": "x", "service": "y"})]),
        ('Basic realm="a", Bearer realm="b"', [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (r'Basic realm="a\"b\\"', [("basic", {"realm": 'a"b\\'})]),
        ('Basic realm="open', [("basic", {"realm": "open"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('=x, "y", Basic realm=first, realm=second', [("x", {}), ("y", {}), ("basic", {"realm": "first"})]),
    ],
)
def test_challenges(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(challenge.scheme, challenge.parameters) for challenge in parse_challenges(header)] == found


@given(st.text('aB ="\\,;\t', max_size=30))
def test_any_challenge_ends(header: str) -> None:
    parse_challenges(header)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("soon", None),
        ("-1", None),
        ("٣", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_retry_after_date() -> None:
    found = seconds_of(formatdate(time.time() + 100, usegmt=True))
    assert found is not None
    assert 90 < found < 101
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_back_off() -> None:
    pauses: list[float] = []
    retry = Retry(tries=5, first_seconds=1, longest_seconds=3, sleep=pauses.append)
    assert [retry.pause(failures) for failures in range(1, 6)] == [True] * 4 + [False]
    assert pauses == [1, 2, 3, 3]
    assert retry.pause(1, "2")
    assert not retry.pause(1, "4")
    assert pauses[4:] == [2]


def test_who_waits_to_try_again_is_woken() -> None:
    retry = Retry()
    waiting = threading.Timer(0, retry.stop)
    waiting.start()
    assert not retry.pause(1, "30")
    waiting.join()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://host/v2/", ("https", "host", 443, "/v2/")),
        ("http://127.0.0.1:5000", ("http", "127.0.0.1", 5000, "/")),
        ("http://[::1]:5000/a?b=c#d", ("http", "::1", 5000, "/a?b=c")),
        ("HTTPS://Host:443/", ("https", "host", 443, "/")),
    ],
)
def test_url(text: str, parts: tuple[str, str, int, str]) -> None:
    url = Url.parse(text)
    assert (url.scheme, url.host, url.port, url.target) == parts
    assert Url.parse(str(url)).origin == url.origin


@pytest.mark.parametrize(
    "text", ["", "host", "//host", "file:///x", "http://", "http://h:x/", "http://h/\r\nX: y", "http://h/é"]
)
def test_no_url(text: str) -> None:
    with pytest.raises(RegistryError, match="invalid URL"):
        Url.parse(text)


def test_join() -> None:
    url = Url.parse("https://host:444/v2/a/blobs/x")
    assert str(url.join("/y?z")) == "https://host:444/y?z"
    assert str(url.join("https://cdn/y")) == "https://cdn/y"
    assert url.join("//cdn/y").host == "cdn"


def test_hosts() -> None:
    assert authority_of("docker.io") == "registry-1.docker.io"
    assert authority_of("localhost:5000") == "localhost:5000"
    assert split_authority("[::1]:80") == ("::1", 80)
    assert split_authority("host") == ("host", None)
    assert [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1")] == [True] * 3
    assert [is_loopback(host) for host in ("127.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "")] == [False] * 4


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("", "docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io", "index.docker.io"),
        ("registry-1.docker.io", "docker.io", "registry-1.docker.io"),
        ("https://ghcr.io", "ghcr.io", "ghcr.io"),
        ("https://gitlab.example/group/project", "gitlab.example", "gitlab.example"),
        ("localhost:5000/", "localhost:5000", "localhost:5000"),
        ("quay.io/org/team", "quay.io/org/team", "quay.io/org/team"),
        ("quay.io/v2/", "quay.io", "quay.io"),
    ],
)
def test_server_of_a_login(text: str, name: str, shown: str) -> None:
    found = Server.parse(text)
    assert f"{found.domain}/{found.path}".rstrip("/") == name
    assert found.shown == shown


@pytest.mark.parametrize("text", ["user@host", "a b", "/x", "é", "quay.io/UPPER", "quay.io/a:1/b", "quay.io/a:1"])
def test_no_server_of_a_login(text: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid registry"):
        Server.parse(text)


def test_a_reference_without_domain_has_no_registry() -> None:
    with pytest.raises(InvalidReferenceError, match="names no registry"):
        RegistryClient("")


def test_user_agent() -> None:
    assert user_agent("linux; amd64").startswith("pyrun/")
    assert user_agent("linux; amd64").endswith(" (linux; amd64)")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    url = Url.parse("https://registry.example.com/v2/")
    assert proxy_for(url) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://us%40er:pw@proxy:3128")
    found = proxy_for(url)
    assert found is not None
    assert (found.host, found.port, found.authorization) == ("proxy", 3128, "Basic dXNAZXI6cHc=")
    monkeypatch.setenv("https_proxy", "other:1")
    found = proxy_for(url)
    assert found is not None
    assert (found.host, found.variable) == ("proxy", "HTTPS_PROXY")  # capitals first, as docker and podman read them
    monkeypatch.setenv("HTTPS_PROXY", "")
    found = proxy_for(url)
    assert found is not None
    assert (found.variable, found.authorization) == ("https_proxy", "")
    assert (found.host, found.port, found.authorization) == ("other", 1, "")
    assert proxy_for(Url.parse("http://registry.example.com/")) is None
    assert proxy_for(Url.parse("https://127.0.0.1:5000/")) is None


@pytest.mark.parametrize(
    ("excepted", "direct"),
    [
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("a,registry.example.com", True),
        (".registry.example.com", False),
        ("*.registry.example.com", False),
        ("*registry.example.com", True),
        ("REGISTRY.example.com", True),
        (".", False),
        ("registry.example.com:443", True),
        ("registry.example.com:444", False),
        ("*", True),
        ("ample.com", False),
        ("", False),
        ("registry.*", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, excepted: str, direct: bool) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", excepted)
    assert (proxy_for(Url.parse("https://registry.example.com/")) is None) is direct


@pytest.mark.parametrize(
    ("url", "excepted", "direct"),
    [
        ("https://10.1.2.3:5000/", "10.0.0.0/8", True),
        ("https://11.1.2.3:5000/", "10.0.0.0/8", False),
        ("https://10.1.2.3:5000/", "10.1.2.3", True),
        ("https://10.1.2.3:5000/", "10.1.2.3:5000", True),
        ("https://10.1.2.3:5000/", "10.1.2.3:5001", False),
        ("https://[fd00::1]:5000/", "fd00::/8", True),
        ("https://[fd00::1]:5000/", "fd00::1", True),
        ("https://[fd00::1]:5000/", "[fd00::1]:5000", True),
        ("https://[fd00::1]:5000/", "[fd00::1]:5001", False),
        ("https://registry.example.com/", "10.0.0.0/8", False),
        ("https://10.1.2.3/", "nonsense/8", False),
    ],
)
def test_no_proxy_for_addresses(monkeypatch: pytest.MonkeyPatch, url: str, excepted: str, direct: bool) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", f"a.example,{excepted}")
    assert (proxy_for(Url.parse(url)) is None) is direct


def test_secret_of_a_bad_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://user:hidden@proxy:1")
    with pytest.raises(RegistryError, match="invalid proxy: https_proxy='socks5://proxy:1'") as caught:
        proxy_for(Url.parse("https://host/"))
    assert "hidden" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("text", ["socks5://proxy:1", "http://", "http://[::1", "http://proxy:x"])
def test_bad_proxy(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("https_proxy", text)
    with pytest.raises(RegistryError, match="invalid proxy: https_proxy"):
        proxy_for(Url.parse("https://host/"))
