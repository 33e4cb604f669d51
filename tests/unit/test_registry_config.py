"""registries.conf and its like: which file wins, where a reference is fetched from, what a short name stands for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pyrun.engine import short_name_choice
from pyrun.errors import InvalidConfigError, PyrunError, RegistryError, StoreError
from pyrun.oci.reference import parse_normalized
from pyrun.registry import config, config_parse, settings, short_names


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine and a user without any file."""
    for name in ("CONTAINERS_REGISTRIES_CONF", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "PYRUN_INSECURE_REGISTRIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(settings, "SYSTEM", str(tmp_path / "etc"))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def system(machine: Path, text: str, name: str = "containers/registries.conf") -> Path:
    return write(machine / "etc" / name, text)


def own(machine: Path, text: str, name: str = "containers/registries.conf") -> Path:
    return write(machine / "home" / ".config" / name, text)


def places(text: str) -> list[str]:
    found = config.load().endpoints(parse_normalized(text).with_default_tag())
    return [f"{place.domain}/{place.path}{'!' * place.insecure}{'~' * place.is_mirror}" for place in found]


def meanings(text: str) -> list[str]:
    return [reference.string for reference in short_names.to_fetch(text)]


def test_nothing_configured_is_as_docker() -> None:
    assert places("busybox") == ["docker.io/library/busybox"]
    assert meanings("busybox:1") == ["docker.io/library/busybox:1"]
    assert config.load().files == []


# Files


def test_user_before_system_and_drop_ins(machine: Path) -> None:
    system(machine, 'unqualified-search-registries = ["system.example"]\n[[registry]]\nlocation = "a.example"')
    system(machine, '[[registry]]\nprefix = "a.example"\nlocation = "b.example"', "containers/registries.conf.d/2.conf")
    system(machine, '[[registry]]\nprefix = "a.example"\nlocation = "c.example"', "containers/registries.conf.d/1.conf")
    system(machine, "not = even TOML", "containers/registries.conf.d/readme.txt")
    assert places("a.example/x") == ["b.example/x"]
    own(machine, '[[registry]]\nprefix = "a.example"\nlocation = "mine.example"', "containers/registries.conf.d/0.conf")
    assert places("a.example/x") == ["mine.example/x"]  # the user's drop-ins come last
    assert meanings("x") == ["system.example/x"]
    own(machine, "")
    assert meanings("x") == [
        "docker.io/library/x"
    ]  # a file of the user's stands in for the machine's, and its drop-ins
    assert places("a.example/x") == ["mine.example/x"]
    assert len(config.load().files) == 2


def test_chosen_file(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(machine, 'unqualified-search-registries = ["mine.example"]')
    chosen = write(machine / "chosen.conf", 'unqualified-search-registries = ["chosen.example"]')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(chosen))
    assert meanings("x") == ["chosen.example/x"]
    chosen.unlink()
    with pytest.raises(StoreError, match=f"cannot read registry configuration: {chosen}: no such file"):
        config.load()


def test_config_home(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(machine / "elsewhere"))
    write(machine / "elsewhere/containers/registries.conf", 'unqualified-search-registries = ["there.example"]')
    assert meanings("x") == ["there.example/x"]


@pytest.mark.parametrize("where", ["elsewhere", ""])
def test_what_podman_reads_holds_wherever_the_config_home_is(
    machine: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """podman 4 looks in ~/.config, whatever the variable says: what is blocked there stays blocked."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(machine / where) if where else "")
    system(machine, 'unqualified-search-registries = ["system.example"]')
    write(machine / "elsewhere/containers/registries.conf", 'unqualified-search-registries = ["there.example"]')
    write(machine / "elsewhere/containers/registries.conf.d/9.conf", '[aliases]\nx = "there.example/x"')
    own(machine, "[[registry]]\nlocation = 'bad.example'\nblocked = true")
    own(machine, '[aliases]\nx = "home.example/x"', "containers/registries.conf.d/1.conf")
    with pytest.raises(RegistryError, match="registry is blocked"):
        places("bad.example/x")
    assert meanings("y") == ["docker.io/library/y"]
    assert meanings("x") == ["home.example/x"]


def test_unreadable_file_is_named(machine: Path) -> None:
    (machine / "etc/containers/registries.conf").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"etc/containers/registries\.conf: is a directory"):
        config.load()


def test_drop_ins_that_cannot_be_read_are_named(machine: Path) -> None:
    """As in podman: what is there could block a registry. A directory is no drop-in, whatever its name."""
    directory = machine / "etc/containers/registries.conf.d"
    (directory / "1.conf").mkdir(parents=True)
    assert config.load().files == []
    (directory / "2.conf").symlink_to("nowhere")
    with pytest.raises(StoreError, match=r"registries\.conf\.d/2\.conf: no such file"):
        config.load()
    (directory / "2.conf").unlink()
    directory.chmod(0)
    try:
        with pytest.raises(StoreError, match=r"registries\.conf\.d: permission denied"):
            config.load()
    finally:
        directory.chmod(0o700)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = ", "/: no TOML: invalid value (at end of document)"),
        ("a = 1\nb = b", "/: no TOML: invalid value (at line 2, column 5)"),
        ("[registries.search]\nregistries = ['a']", "/registries: this is version 1 of the format, which is not read"),
        ("unqualified-search-registries = 'a'", "/unqualified-search-registries: expected an array, found 'a'"),
        ("unqualified-search-registries = [1]", "/unqualified-search-registries/0: expected a text, found 1"),
        ("unqualified-search-registries = ['a b']", "/unqualified-search-registries/0: 'a b': no host[:port]"),
        ("short-name-mode = 'strict'", "/short-name-mode: 'strict' is none of enforcing, permissive, disabled"),
        ("[registry]\nlocation='a'", "/registry: expected an array, found {'location': 'a'}"),
        ("registry = [1]", "/registry/0: expected a table: [[registry]]"),
        ("[[registry]]\ninsecure = true", "/registry/0: it has neither a prefix nor a location"),
        ("[[registry]]\nprefix = 'a.b/c'", "/registry/0/location: it is missing: where is a.b/c?"),
        ("[[registry]]\nprefix = '*.a.b/c'", "/registry/0/prefix: '*.a.b/c' is not of the form *.example.com"),
        ("[[registry]]\nprefix = '*.a.b:1'", "/registry/0/prefix: '*.a.b:1' is not of the form *.example.com"),
        ("[[registry]]\nlocation = 'https://a.b'", "/registry/0/location: 'https://a.b' must not begin with https://"),
        ("[[registry]]\nlocation = 'a.b/UP'", "/registry/0/location: 'a.b/UP': repository name must be lowercase"),
        ("[[registry]]\nlocation = 'a'\ninsecure = 'no'", "/registry/0/insecure: expected true or false, found 'no'"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry]]\nprefix = 'a'\nlocation = 'b'",
            "/registry/1: the prefix a is there",
        ),
        ("[[registry]]\nlocation = 'a'\n[[registry.mirror]]", "/registry/0/mirror/0/location: '': no host[:port]"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'never'",
            "/registry/0/mirror/0/pull-from-mirror: 'never' is none of all, digest-only, tag-only",
        ),
        (
            "[[registry]]\nlocation = 'a'\nmirror-by-digest-only = true\n"
            "[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'all'",
            "/registry/0/mirror/0/pull-from-mirror: it cannot be combined with mirror-by-digest-only",
        ),
        ("[aliases]\na = 1", "/aliases/a: expected a text, found 1"),
        ("[aliases]\na = 'b'", "/aliases/a: expected a name without a registry, and one with it"),
        ("[aliases]\n'x.y/a' = 'x.y/b'", "/aliases/x.y/a: expected a name without a registry, and one with it"),
        ("[aliases]\na = 'b.c/d:1'", "/aliases/a: neither side may have a tag or a digest"),
        ("[aliases]\na = 'b.c/D'", "/aliases/a: invalid reference format: repository name (D) must be lowercase"),
    ],
)
def test_bad_file(machine: Path, text: str, complaint: str) -> None:
    path = own(machine, text)
    with pytest.raises(InvalidConfigError) as caught:
        config.load()
    assert caught.value.message.startswith(f"invalid {path}: {complaint}")


def test_no_utf_8(machine: Path) -> None:
    own(machine, "").write_bytes(b"\xff")
    with pytest.raises(InvalidConfigError, match="no TOML: 'utf-8' codec"):
        config.load()


def test_unknown_keys_are_left_alone(machine: Path) -> None:
    own(machine, 'additional-thing = 1\n[[registry]]\nlocation = "a.example"\nsome-day = "x"')
    assert places("a.example/x") == ["a.example/x"]


# Places


REWRITING = """
[[registry]]
prefix = "example.com/foo"
location = "internal.example.net/bar"
insecure = true
[[registry.mirror]]
location = "mirror-0.local/for-foo"
[[registry.mirror]]
location = "mirror-1.local:5000/mirrors/foo/"
insecure = true
[[registry]]
prefix = "example.com"
location = "moved.example"
[[registry]]
prefix = "example.com/foo/one"
location = "one.example/1"
[[registry]]
prefix = "example.com/tagged:7"
location = "seven.example/x"
[[registry]]
prefix = "*.wild.example"
[[registry.mirror]]
location = "mirror.wild.example/all"
[[registry]]
prefix = "*.deep.wild.example"
location = "deep.example"
[[registry]]
prefix = "literal.wild.example"
location = "literal.example"
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "hub.local"
[[registry]]
location = "127.0.0.1:5001"
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "example.com/foo/image",
            [
                "mirror-0.local/for-foo/image~",
                "mirror-1.local:5000/mirrors/foo/image!~",
                "internal.example.net/bar/image!",
            ],
        ),
        (
            "example.com/foo",
            ["mirror-0.local/for-foo~", "mirror-1.local:5000/mirrors/foo!~", "internal.example.net/bar!"],
        ),
        ("example.com/foobar", ["moved.example/foobar"]),
        ("example.com/foo/one", ["one.example/1"]),
        ("example.com/foo/one/two", ["one.example/1/two"]),
        ("example.com/tagged:7", ["seven.example/x"]),
        ("example.com/tagged:77", ["moved.example/tagged"]),
        ("example.com:5000/foo", ["example.com:5000/foo"]),
        ("a.wild.example/x", ["mirror.wild.example/all/x~", "a.wild.example/x"]),
        ("a.b.wild.example/x", ["mirror.wild.example/all/x~", "a.b.wild.example/x"]),
        ("wild.example/x", ["wild.example/x"]),
        ("other/a.wild.example/x", ["hub.local/other/a.wild.example/x~", "docker.io/other/a.wild.example/x"]),
        ("a.deep.wild.example/x", ["deep.example/x"]),
        ("literal.wild.example/x", ["literal.example/x"]),
        ("busybox", ["hub.local/library/busybox~", "docker.io/library/busybox"]),
        ("127.0.0.1:5001/x", ["127.0.0.1:5001/x"]),
    ],
)
def test_longest_prefix_decides(machine: Path, text: str, found: list[str]) -> None:
    own(machine, REWRITING)
    assert places(text) == found


def test_reading_goes_to_the_location_and_writing_to_the_name(machine: Path) -> None:
    own(machine, REWRITING)
    image = parse_normalized("example.com/foo/image:1")
    there = config.load().primary(image)
    assert (there.domain, there.path, there.insecure) == ("internal.example.net", "bar/image", True)
    there = config.load().named(image)
    assert (there.domain, there.path, there.insecure) == ("example.com", "foo/image", True)


def test_mirrors_by_tag_and_by_digest(machine: Path) -> None:
    rows = "\n".join(
        f"[[registry.mirror]]\nlocation = '{when}.local'\npull-from-mirror = '{when}'"
        for when in ("all", "digest-only", "tag-only")
    )
    own(machine, f"[[registry]]\nlocation = 'a.example'\n{rows}")
    digest = "@sha256:" + "0" * 64
    assert places("a.example/x:1") == ["all.local/x~", "tag-only.local/x~", "a.example/x"]
    assert places(f"a.example/x{digest}") == ["all.local/x~", "digest-only.local/x~", "a.example/x"]
    only = "mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'm.local'"
    own(machine, f"[[registry]]\nlocation = 'a.example'\n{only}")
    assert places("a.example/x:1") == ["a.example/x"]
    assert places(f"a.example/x:1{digest}") == ["m.local/x~", "a.example/x"]


def test_a_rewritten_name_that_is_none(machine: Path) -> None:
    path = own(machine, '[[registry]]\nprefix = "a.example/x"\nlocation = "b.example"')
    with pytest.raises(InvalidConfigError, match=f"invalid {path}: location b.example: 'b.example:latest': it has no"):
        places("a.example/x")
    path = own(machine, '[[registry]]\nprefix = "a.example/x:7"\nlocation = "b.example/x:8"')
    with pytest.raises(InvalidConfigError, match=f"invalid {path}: .* a location cannot change the tag"):
        places("a.example/x:7")


def test_blocked(machine: Path) -> None:
    path = own(
        machine, "[[registry]]\nlocation = 'a.example/bad'\nblocked = true\n[[registry]]\nlocation = 'a.example'"
    )
    assert places("a.example/good") == ["a.example/good"]
    config.load().refuse_blocked("a.example")
    with pytest.raises(RegistryError, match=r"registry is blocked: a\.example/bad/x:latest") as caught:
        places("a.example/bad/x")
    assert caught.value.hint == f"a.example/bad is blocked in {path}"
    own(machine, "[[registry]]\nprefix = '*.example'\nblocked = true")
    with pytest.raises(RegistryError, match=r"registry is blocked: b\.example"):
        config.load().refuse_blocked("b.example")


def test_a_host_has_no_case(machine: Path) -> None:
    own(
        machine,
        "[[registry]]\nlocation = 'Bad.example'\nblocked = true\n[[registry]]\nprefix = '*.a.Example'\nblocked = true",
    )
    for name in ("bad.example/x", "BAD.EXAMPLE/x", "B.A.EXAMPLE:5000/x"):
        with pytest.raises(RegistryError, match="registry is blocked"):
            places(name)
    own(machine, "[[registry]]\nprefix = 'a.example/b'\nlocation = 'there.example'")
    assert places("A.example/b/c") == ["there.example/c"]


def test_what_is_blocked_is_not_reached_by_another_name(machine: Path) -> None:
    path = own(
        machine,
        """
[[registry]]
location = "bad.example"
blocked = true
[[registry]]
prefix = "good.example"
location = "bad.example/x"
[[registry]]
location = "other.example"
[[registry.mirror]]
location = "bad.example/mirror"
[[registry.mirror]]
location = "mirror.example"
""",
    )
    with pytest.raises(RegistryError, match=r"registry is blocked: good\.example/image:1") as caught:
        places("good.example/image:1")
    assert caught.value.hint == f"its location is bad.example/x, and bad.example is blocked in {path}"
    assert places("other.example/image") == ["mirror.example/image~", "other.example/image"]


def test_insecure_of_a_whole_registry(machine: Path) -> None:
    tables = [f"[[registry]]\nlocation = '{location}'\ninsecure = true\n" for location in ("a.example", "b.example/x")]
    own(machine, "".join(tables))
    assert config.load().is_insecure("a.example")
    assert not config.load().is_insecure("b.example")
    assert places("b.example/x/y") == ["b.example/x/y!"]


# Short names


def test_aliases(machine: Path) -> None:
    system(machine, "[aliases]\nfedora = 'registry.example/fedora'\n'team/app' = 'q.example/a/b'\ngone = 'x.example/y'")
    system(machine, "[aliases]\ngone = ''\nfedora = 'later.example/f'", "containers/registries.conf.d/9.conf")
    assert meanings("fedora") == ["later.example/f"]
    assert meanings("fedora:39") == ["later.example/f:39"]
    digest = "@sha256:" + "0" * 64
    assert meanings(f"team/app{digest}") == [f"q.example/a/b{digest}"]
    assert meanings("gone") == ["docker.io/library/gone"]
    assert meanings("docker.io/fedora") == ["docker.io/library/fedora"]  # a whole name is not a short one
    write(machine / "home/.cache/containers/short-name-aliases.conf", "[aliases]\nfedora = 'asked.example/f'")
    assert meanings("fedora") == ["asked.example/f"]


def test_search_registries(machine: Path) -> None:
    path = own(machine, "unqualified-search-registries = ['a.example', 'docker.io']")
    assert meanings("x:1") == ["a.example/x:1", "docker.io/library/x:1"]
    assert meanings("t/x") == ["a.example/t/x", "docker.io/t/x"]
    assert meanings("localhost/x") == ["localhost/x"]
    own(machine, "unqualified-search-registries = ['a.example', 'docker.io']\nshort-name-mode = 'enforcing'")
    with pytest.raises(InvalidConfigError, match=f"{path}: /short-name-mode: 'x' is ambiguous") as caught:
        meanings("x")
    assert "a.example/x, docker.io/library/x" in caught.value.hint
    own(machine, "unqualified-search-registries = ['a.example']\nshort-name-mode = 'enforcing'")
    assert meanings("x") == ["a.example/x"]


def test_what_is_to_be_chosen_and_kept(machine: Path) -> None:
    def asked(text: str) -> list[str]:
        return [reference.string for reference in short_names.ambiguous(text)]

    file = machine / "home/.cache/containers/short-name-aliases.conf"
    search = "unqualified-search-registries = ['a.example', 'docker.io']"
    for mode in ("", "\nshort-name-mode = 'enforcing'", "\nshort-name-mode = 'permissive'"):
        own(machine, search + mode)
        assert asked("x:1") == ["a.example/x:1", "docker.io/library/x:1"]
        assert asked("a.example/x:1") == []
    own(machine, f"{search}\nshort-name-mode = 'disabled'")
    assert asked("x") == []
    own(machine, f"{search}\n[aliases]\nf = 'q.example/f'")
    assert asked("f") == []
    short_name_choice.keep("x:1", "docker.io/library/x:1")
    short_name_choice.keep("t/y", "a.example/t/y")
    assert file.read_text() == '[aliases]\n  "x" = "docker.io/library/x"\n  "t/y" = "a.example/t/y"\n'
    assert (asked("x"), meanings("x:2")) == ([], ["docker.io/library/x:2"])
    short_name_choice.keep("x", "a.example/x")
    assert meanings("x") == ["a.example/x"]
    write(file, "[aliases\n")
    with pytest.raises(InvalidConfigError):
        short_name_choice.keep("x", "b.example/x")
    assert file.read_text() == "[aliases\n"
    file.unlink()
    assert [path.name for path in file.parent.iterdir()] == ["short-name-aliases.conf.lock"]


def test_what_is_in_the_store_already(machine: Path) -> None:
    def here(text: str) -> list[str]:
        return [reference.string for reference in short_names.here(text, parse_normalized(text))]

    assert here("x:1") == ["docker.io/library/x:1"]
    own(machine, "unqualified-search-registries = ['a.example', 'docker.io']\n[aliases]\nf = 'q.example/f'")
    assert here("x:1") == ["docker.io/library/x:1", "a.example/x:1"]
    assert here("f") == ["q.example/f", "docker.io/library/f", "a.example/f"]
    assert here("q.example/f") == ["q.example/f"]


# Docker's daemon.json


def test_daemon_json(machine: Path) -> None:
    text = {
        "registry-mirrors": ["https://m.example/hub/", "http://n.example"],
        "insecure-registries": ["10.0.0.0/8", "i:5"],
    }
    path = system(machine, json.dumps(text), "docker/daemon.json")
    assert places("x") == ["m.example/hub/library/x~", "n.example/library/x!~", "docker.io/library/x"]
    assert places("q.example/x") == ["q.example/x"]
    assert places("10.1.2.3:5000/x") == ["10.1.2.3:5000/x!"]
    assert places("11.1.2.3:5000/x") == ["11.1.2.3:5000/x"]
    assert config.load().is_insecure("i:5")
    own(machine, "[[registry]]\nlocation = 'docker.io'")
    assert places("x") == ["docker.io/library/x"]  # registries.conf is asked first
    path.write_text('{"registry-mirrors": ["m.example"]}')
    with pytest.raises(InvalidConfigError, match=f"{path}: /registry-mirrors/0: 'm.example' is no http or https URL"):
        config.load()
    path.write_text("{")
    with pytest.raises(InvalidConfigError, match=f"invalid {path}: /: invalid JSON"):
        config.load()
    path.write_text('{"insecure-registries": "a"}')
    with pytest.raises(InvalidConfigError, match=f"{path}: /insecure-registries: expected an array of texts"):
        config.load()


# The parsed copy


def test_parsed_copy(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = machine / "registries"
    path = own(machine, "unqualified-search-registries = ['a.example']")
    settings.load(str(cache))
    assert not cache.exists()  # just written: a second change might not show
    os.utime(path, (1, 1))
    settings.load(str(cache))
    kept = json.loads(cache.read_text())["settings"]
    monkeypatch.setattr(settings, "_loaded", None)
    with monkeypatch.context() as patched:
        patched.setattr(config_parse, "parse", lambda _: pytest.fail("parsed although nothing has changed"))
        assert settings.load(str(cache))[0] == kept
    os.utime(path, (2, 2))
    path.write_text("unqualified-search-registries = ['b.example']")
    assert settings.load(str(cache))[0]["search"] == ["b.example"]
    cache.write_text("nonsense")
    monkeypatch.setattr(settings, "_loaded", None)
    assert settings.load(str(cache))[0]["search"] == ["b.example"]
    own(machine, "", "containers/registries.conf.d/new.conf").write_text("unqualified-search-registries = []")
    assert settings.load(str(cache))[0]["search"] == []


def test_a_copy_that_cannot_be_kept(machine: Path) -> None:
    os.utime(own(machine, "unqualified-search-registries = ['a.example']"), (1, 1))
    assert settings.load(str(machine / "no/such/directory"))[0]["search"] == ["a.example"]


def test_every_failure_is_ours(machine: Path) -> None:
    own(machine, "[[registry]]\nlocation = " + "[" * 5000)
    with pytest.raises(PyrunError):
        config.load()
