"""Where an image is asked for by registries.conf, and who is logged in: skopeo is shown the same files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pyrun.oci.reference import parse_normalized
from pyrun.registry import config
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import HostileRegistry, status
from tests.support.registry_real import PASSWORD, USER, running_registry

pytestmark = pytest.mark.requires("skopeo", "registry")
DIGEST = "sha256:" + "0" * 64


def skopeo(*arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["skopeo", *arguments], capture_output=True, text=True, input=input)


def test_places_and_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "registries.conf"
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(file))
    with HostileRegistry() as registry:
        registry.on("/v2/", status(200))

        def table(prefix: str, location: str, *mirrors: tuple[str, str]) -> str:
            lines = [f"[[registry]]\nprefix = '{prefix}'\nlocation = '{registry.domain}/{location}'\ninsecure = true"]
            for mirror, when in mirrors:
                lines.append(f"[[registry.mirror]]\nlocation = '{registry.domain}/{mirror}'\ninsecure = true")
                lines.append(f"pull-from-mirror = '{when}'")
            return "\n".join([*lines, ""])

        file.write_text(
            table("example.invalid/foo", "bar", ("m1", "all"), ("m2", "digest-only"))
            + table("example.invalid/foo/deep", "deep")
            + table("*.wild.invalid", "wild", ("wild-mirror", "tag-only"))
            + table("*.part.wild.invalid", "part")
        )
        for text in (
            "example.invalid/foo/x:1",
            f"example.invalid/foo@{DIGEST}",
            "example.invalid/foo/deep/x:1",
            "a.b.wild.invalid/y/z:2",
            "a.part.wild.invalid/y:2",
        ):
            reference = parse_normalized(text)
            wanted = [
                f"/v2/{place.path}/manifests/{reference.digest or reference.tag}"
                for place in config.load().endpoints(reference)
            ]
            registry.seen.clear()
            skopeo("--registries-conf", str(file), "inspect", "--raw", f"docker://{text}")
            assert [seen.path for seen in registry.asked("manifests")] == wanted, text


def test_credentials_are_read_both_ways(pyrun: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    with running_registry(tmp_path, password=True) as domain:
        plain = ("--authfile", str(file))
        name = f"{domain}/team"
        pyrun.ok("login", *plain, "-u", USER, "--password-stdin", name, input=PASSWORD)
        assert skopeo("login", *plain, "--get-login", name).stdout == f"{USER}\n"
        pyrun.ok("logout", *plain, name)
        assert skopeo("login", *plain, "--get-login", name).returncode
        given = skopeo("login", *plain, "--tls-verify=false", "-u", USER, "--password-stdin", name, input=PASSWORD)
        assert given.returncode == 0, given.stderr
        assert pyrun.ok("login", *plain, "--get-login", name) == USER
        assert skopeo("logout", *plain, name).returncode == 0
        assert json.loads(file.read_text())["auths"] == {}
