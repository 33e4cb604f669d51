"""Credential files of docker and podman: which entry is found, and what is left untouched."""

from __future__ import annotations

import json
from binascii import b2a_base64
from pathlib import Path
from typing import Any

import pytest

from pyrun.errors import InvalidConfigError, StoreError
from pyrun.registry.credentials import Credential, CredentialStore, default_paths


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": b2a_base64(f"{user}:{password}".encode(), newline=False).decode()}


def store_of(tmp_path: Path, *documents: Any) -> CredentialStore:
    paths = []
    for number, document in enumerate(documents):
        path = tmp_path / f"{number}.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        paths.append(str(path))
    return CredentialStore(paths)


def user(found: Credential | None) -> str:
    return found.user if found else ""


@pytest.mark.parametrize(
    ("key", "domain", "path"),
    [
        ("host:5000", "host:5000", ""),
        ("https://host:5000", "host:5000", "a/b"),
        ("http://host:5000/v2/", "host:5000", ""),
        ("https://host/v1/", "host", ""),
        ("https://index.docker.io/v1/", "docker.io", "library/a"),
        ("docker.io", "docker.io", ""),
        ("registry-1.docker.io", "docker.io", ""),
        ("host/team", "host", "team/app"),
        ("host/team/app", "host", "team/app"),
    ],
)
def test_key_is_found(tmp_path: Path, key: str, domain: str, path: str) -> None:
    assert user(store_of(tmp_path, {"auths": {key: auth("ann", "pw")}}).get(domain, path)) == "ann"


@pytest.mark.parametrize(
    ("key", "domain", "path"),
    [
        ("host", "host:5000", ""),
        ("host:5000", "host", ""),
        ("host/team", "host", "teamwork/app"),
        ("host/team", "host", ""),
    ],
)
def test_other_keys_are_not(tmp_path: Path, key: str, domain: str, path: str) -> None:
    assert store_of(tmp_path, {"auths": {key: auth("ann", "pw")}}).get(domain, path) is None


def test_longest_key_and_first_file_win(tmp_path: Path) -> None:
    auths = {"host": auth("wide", "pw"), "host/a/b": auth("narrow", "pw"), "host/a": auth("middle", "pw")}
    store = store_of(tmp_path, {"auths": auths}, {"auths": {"host": auth("late", "x"), "other": auth("second", "x")}})
    assert user(store.get("host", "a/b/c")) == "narrow"
    assert user(store.get("host", "a/x")) == "middle"
    assert user(store.get("host", "x")) == "wide"
    assert user(store.get("other", "x")) == "second"


def test_forms_of_an_entry(tmp_path: Path) -> None:
    entries = {
        "plain": {"username": "ann", "password": "pw"},
        "colon": auth("ann", "p:w:é"),
        "token": {**auth("ann", ""), "identitytoken": "long"},
        "empty": {},
        "number": {"username": 1, "password": 2},
        "numbered token": {"username": 1, "identitytoken": "long"},
        "odd": [],
    }
    store = store_of(tmp_path, {"auths": entries})
    plain, colon, token = (store.get(name) for name in ("plain", "colon", "token"))
    assert plain is not None
    assert (plain.user, plain.password) == ("ann", "pw")
    assert plain.basic == "Basic YW5uOnB3"
    assert colon is not None
    assert colon.password == "p:w:é"
    assert token is not None
    assert token.identity_token == "long"
    assert store.get("empty") is None
    assert store.get("number") is None
    assert user(store.get("numbered token")) == ""
    assert store.get("odd") is None


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ("{", ""),
        ("[]", ""),
        ({"auths": ["a"]}, "/auths"),
        ({"credHelpers": "a"}, "/credHelpers"),
        ({"auths": {"a/b": {"auth": "%%%"}}}, "/auths/a~1b/auth"),
        ({"auths": {"a/b": {"auth": "YQ=="}}}, "/auths/a~1b/auth"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, document: Any, pointer: str) -> None:
    store = store_of(tmp_path, document)
    with pytest.raises(InvalidConfigError) as caught:
        store.get("a", "b")
    assert (caught.value.document, caught.value.pointer) == (store.paths[0], pointer)


def test_bad_file_is_not_overwritten(tmp_path: Path) -> None:
    store = store_of(tmp_path, "{broken")
    with pytest.raises(InvalidConfigError):
        store.store("host", Credential("ann", "pw"))
    assert Path(store.paths[0]).read_text() == "{broken"


def test_store_replaces_every_spelling(tmp_path: Path) -> None:
    auths = {"docker.io": auth("old", "x"), "index.docker.io": auth("older", "x"), "host": auth("kept", "x")}
    store = store_of(tmp_path, {"auths": auths, "detachKeys": "ctrl-e"})
    assert store.store("docker.io", Credential("ann", "pw")) == ""
    document = json.loads(Path(store.paths[0]).read_text())
    assert document["auths"] == {"host": auth("kept", "x"), "https://index.docker.io/v1/": auth("ann", "pw")}
    assert document["detachKeys"] == "ctrl-e"
    assert user(store.get("docker.io")) == "ann"
    assert store.erase("docker.io")
    assert not store.erase("docker.io")
    assert store.get("docker.io") is None


def test_store_makes_directory_and_follows_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config.json"
    real.parent.mkdir()
    real.write_text("")
    link = tmp_path / "config.json"
    link.symlink_to(real)
    CredentialStore([str(link)]).store("host", Credential("ann", "pw"))
    assert link.is_symlink()
    assert "host" in json.loads(real.read_text())["auths"]
    assert real.stat().st_mode & 0o777 == 0o600
    fresh = tmp_path / "new" / "dir" / "config.json"
    CredentialStore([str(fresh)]).store("host", Credential("ann", "pw"))
    assert fresh.parent.stat().st_mode & 0o777 == 0o700


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "config.json")
    with pytest.raises(StoreError, match="cannot write credentials"):
        CredentialStore([path]).store("host", Credential("ann", "pw"))


def test_a_chosen_file_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none"))
    store = CredentialStore()
    assert store.get("host") is None
    assert store.problems == [f"REGISTRY_AUTH_FILE names a file that is not there: {tmp_path}/none"]


def test_unreadable_file_is_a_problem_not_an_end(tmp_path: Path) -> None:
    (tmp_path / "0.json").mkdir()
    good = tmp_path / "1.json"
    good.write_text(json.dumps({"auths": {"host": auth("ann", "pw")}}))
    store = CredentialStore([str(tmp_path / "0.json"), str(good)])
    assert user(store.get("host")) == "ann"
    assert "is a directory" in store.problems[0]


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b"])
def test_helper_name_is_no_path(tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path, {"credHelpers": {"https://host": name}})
    assert store.get("host") is None
    assert "no name of a helper" in store.problems[0]
    assert store.get("other") is None


def test_default_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert default_paths() == ["/h/.docker/config.json", "/h/.config/containers/auth.json", "/h/.dockercfg"]
    monkeypatch.setenv("DOCKER_CONFIG", "/d")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    podman = ["/r/containers/auth.json", "/c/containers/auth.json"]
    assert default_paths() == ["/d/config.json", *podman, "/h/.dockercfg"]
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/a.json")
    assert default_paths() == ["/a.json"]
