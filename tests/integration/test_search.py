"""`search`: Docker Hub's index, other registries' index or catalog, tags; against servers that speak as documented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun.engine.search import Search
from pyrun.errors import AuthenticationError, InvalidInputError, RegistryError
from pyrun.registry import listing
from tests.support.certificates import Authority
from tests.support.command_line import CommandLine
from tests.support.connect_proxy import ConnectProxy
from tests.support.registry_hostile import Answer, HostileRegistry, manifest_of, status
from tests.support.registry_real import push, running_registry

LONG = "A description that is much longer\nthan what a table has room for"
# As Docker Hub answers https://index.docker.io/v1/search?q=busybox&n=25 (docker's registry API v1, "Search").
RESULTS = {
    "num_pages": 1, "num_results": 3, "page": 1, "page_size": 25, "query": "busybox",
    "results": [
        {"name": "busybox", "description": "Busybox base image.", "star_count": 3412, "is_official": True,
         "is_automated": False, "is_trusted": False},
        {"name": "rancher/busybox", "description": LONG, "star_count": 12, "is_official": False, "is_automated": True},
        {"name": "nobody/busybox", "description": None, "star_count": 0, "is_official": False, "is_automated": False},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as running:
        yield running


def names(term: str, **options: object) -> list[str]:
    return [row.name for row in Search(**options).repositories(term)]  # type: ignore[arg-type]


def as_json(document: object, **headers: str) -> Answer:
    return status(200, json.dumps(document).encode(), Content_Type="application/json", **headers)


def test_docker_hub(pyrun: CommandLine, tmp_path: Path) -> None:
    """As docker asks it, and in docker's words; the Hub is ours, behind a proxy that knows it by its name."""
    authority = Authority(tmp_path / "ca")
    with HostileRegistry(authority.issue("hub", "DNS:index.docker.io")) as hub:
        hub.on("/v1/search", as_json(RESULTS))
        certs = pyrun.home / ".config/containers/certs.d/index.docker.io"
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(authority.certificate.read_bytes())
        with ConnectProxy({"index.docker.io:443": hub.port}) as proxy:
            pyrun.environment["https_proxy"] = f"http://{proxy.authority}"
            assert pyrun.ok("search", "busybox").splitlines() == [
                "NAME              DESCRIPTION                                     STARS     OFFICIAL",
                "busybox           Busybox base image.                             3412      [OK]",
                "rancher/busybox   A description that is much longer than what …   12        ",
                "nobody/busybox                                                    0         ",
            ]
            rows = pyrun.ok("search", "--no-trunc", "--format", "json", "--limit", "2", "library/busybox").splitlines()
            wanted = [
                "search", "-f", "is-official=false", "-f", "stars=1",
                "--format", "{{.Index}} {{.Name}} {{.IsOfficial}}", "docker.io/busybox",
            ]  # fmt: skip
            assert pyrun.ok(*wanted) == "docker.io rancher/busybox "
    assert json.loads(rows[0]) == {
        "Description": "Busybox base image.", "IsAutomated": "false", "IsOfficial": "true", "Name": "busybox",
        "StarCount": "3412",
    }  # fmt: skip
    assert json.loads(rows[1])["Description"] == LONG.replace("\n", " ")
    assert [seen.path for seen in hub.seen] == [
        "/v1/search?q=busybox", "/v1/search?q=busybox&n=2", "/v1/search?q=busybox",
    ]  # fmt: skip


def test_an_index_of_another_registry(registry: HostileRegistry) -> None:
    registry.on("/v1/search", as_json(RESULTS))
    assert names(f"{registry.domain}/busybox", limit=7)[:2] == [
        f"{registry.domain}/busybox",
        f"{registry.domain}/rancher/busybox",
    ]
    assert registry.seen[0].path == "/v1/search?q=busybox&n=7"


def test_a_catalog_in_pages(registry: HostileRegistry) -> None:
    first = as_json({"repositories": ["a/app", "b/other"]}, Link='</v2/_catalog?last=b&n=2>; rel="next"')
    rest = as_json({"repositories": ["c/app", "d/app"]})
    registry.on("/v2/_catalog", first, rest)
    assert names(f"{registry.domain}/app") == [f"{registry.domain}/{name}" for name in ("a/app", "c/app", "d/app")]
    assert [seen.path for seen in registry.seen] == [
        "/v1/search?q=app&n=25", "/v2/_catalog?n=1000", "/v2/_catalog?last=b&n=2",
    ]  # fmt: skip
    registry.on("/v2/_catalog", first, rest)
    assert names(f"{registry.domain}/", limit=1) == [f"{registry.domain}/a/app"]  # all of them; one is enough


def test_pages_in_circles_and_elsewhere(registry: HostileRegistry) -> None:
    registry.on("/v2/_catalog", as_json({"repositories": []}, Link='</v2/_catalog?n=1000>; rel="next"'))
    with pytest.raises(RegistryError, match="its pages go in circles"):
        names(f"{registry.domain}/app")
    registry.on("/v2/_catalog", as_json({"repositories": []}, Link='<http://elsewhere.invalid/x>; rel="next"'))
    with pytest.raises(RegistryError, match=r"its next page is at elsewhere\.invalid"):
        names(f"{registry.domain}/app")


def test_names_without_end(registry: HostileRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks holds them all: there is an end to that, over all pages together."""
    monkeypatch.setattr(listing, "_MAX_BYTES", 2 << 20)
    pages = [
        as_json({"repositories": ["x" * 600_000]}, Link=f'</v2/_catalog?page={page}>; rel="next"') for page in range(4)
    ]
    registry.on("/v2/_catalog", *pages)
    with pytest.raises(RegistryError, match="tells more than 2 MiB of names"):
        names(f"{registry.domain}/app")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"repositories": [1]}',
        b'{"repositories": ["app\\u001b[2J"]}',
        b'{"repositories": {}, "x": 1}',
    ],
)
def test_nonsense(registry: HostileRegistry, body: bytes) -> None:
    registry.on("/v2/_catalog", status(200, body))
    if body == b'{"repositories": {}, "x": 1}':
        assert names(f"{registry.domain}/app") == []
        return
    with pytest.raises(RegistryError, match="its answer is not of the documented form"):
        names(f"{registry.domain}/app")


def test_a_name_that_a_terminal_would_obey(registry: HostileRegistry) -> None:
    registry.on("/v1/search", as_json({"results": [{"name": "app\u009b2J"}]}))
    with pytest.raises(RegistryError, match="its answer is not of the documented form"):
        names(f"{registry.domain}/app")


def test_search_registries_of_the_configuration(registry: HostileRegistry, home: Path) -> None:
    with HostileRegistry() as gone:
        pass
    conf = home / ".config/containers/registries.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f"unqualified-search-registries = ['{gone.domain}', '{registry.domain}']")
    registry.on("/v2/_catalog", as_json({"repositories": ["app"]}))
    search = Search()
    assert [row.name for row in search.repositories("app")] == [f"{registry.domain}/app"]
    assert search.failures[0].startswith(f"{gone.domain}: cannot reach registry")
    conf.write_text(f"unqualified-search-registries = ['{gone.domain}']")
    with pytest.raises(RegistryError, match="connection refused"):
        names("app")
    conf.write_text(f"[[registry]]\nlocation = '{registry.domain}'\nblocked = true\n")
    for blocked in (lambda: names(f"{registry.domain}/x"), lambda: Search().tags(f"{registry.domain}/x")):
        with pytest.raises(RegistryError, match="registry is blocked"):
            blocked()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"limit": 101}, r"limit 101 is outside the range of \[1, 100\]"),
        ({"limit": -1}, r"limit -1 is outside the range of \[1, 100\]"),
        ({"filters": ["stars=many"]}, "invalid filter 'stars=many'"),
        ({"filters": ["is-official=perhaps"]}, "invalid filter 'is-official=perhaps'"),
        ({"filters": ["colour=red"]}, "invalid filter 'colour'"),
        ({"filters": ["stars"]}, "bad format of filter"),
    ],
)
def test_what_cannot_be_wanted(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        names("busybox", **options)


def test_hub_needs_a_word() -> None:
    with pytest.raises(InvalidInputError, match="cannot search Docker Hub without a word"):
        names("docker.io/")


def test_a_real_registry(pyrun: CommandLine, tmp_path: Path) -> None:
    with running_registry(tmp_path) as domain:
        for repository, tag in (("team/app", "1"), ("team/app", "2"), ("other", "x")):
            push(domain, repository, tag, manifest_of(b"{}"), b"{}")
        assert pyrun.ok("search", "--format", "{{.Name}}", f"{domain}/app") == f"{domain}/team/app"
        heading, *rows = pyrun.ok("search", "--list-tags", f"{domain}/team/app").splitlines()
        assert heading.split() == ["NAME", "TAG"]
        assert sorted(row.split() for row in rows) == [[f"{domain}/team/app", "1"], [f"{domain}/team/app", "2"]]
        assert pyrun.ok("search", "--list-tags", "--limit", "1", "--format", "{{.Tag}}", f"{domain}/team/app") in "12"
        assert "not found: tags of" in pyrun.fails(1, "search", "--list-tags", f"{domain}/nothing")
        with pytest.raises(InvalidInputError, match="it names one already"):
            Search().tags(f"{domain}/team/app:1")


def test_a_registry_that_wants_a_password(registry: HostileRegistry, home: Path) -> None:
    challenge = status(401, WWW_Authenticate='Basic realm="x"')
    registry.on("/v1/search", challenge)
    registry.on("/v2/_catalog", challenge)
    with pytest.raises(AuthenticationError):
        names(f"{registry.domain}/app")
    authfile = home / "auth.json"
    authfile.write_text(json.dumps({"auths": {registry.domain: {"auth": "YTpi"}}}))
    registry.on("/v1/search", challenge, status(404))
    registry.on("/v2/_catalog", as_json({"repositories": ["app"]}))
    assert names(f"{registry.domain}/app", authfile=str(authfile)) == [f"{registry.domain}/app"]
