"""info and version by template: what scripts written for docker ask."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pyrun.engine.registry_info import registry_info

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine


def test_info_in_dockers_words(pyrun: CommandLine) -> None:
    found = json.loads(pyrun.ok("system", "info", "--format", "json"))
    assert (found["Containers"], found["ContainersRunning"], found["Images"]) == (0, 0, 0)
    assert found["DockerRootDir"] == str(pyrun.root)
    assert found["KernelVersion"] == os.uname().release
    assert pyrun.ok("info", "-f", "{{.NCPU}} {{.ServerVersion}} {{.CgroupVersion}}").split()[0].isdecimal()
    assert all(word.startswith("name=") for word in found["SecurityOptions"])
    assert pyrun.ok(
        "info", "-f", "{{.Swarm.LocalNodeState}} {{.OSType}} {{range $name, $_ := .Runtimes}}{{$name}}{{end}}"
    ) == ("inactive linux pyrun")
    assert "local" in found["Plugins"]["Volume"]
    assert list(found)[:7] == [
        "ID", "Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images", "Driver",
    ]  # fmt: skip
    assert not [name for name in found if name != name.strip()]
    assert "Server Version: " in pyrun.ok("info")
    assert "can't evaluate field Nope" in pyrun.fails(1, "info", "-f", "{{.Nope}}")
    assert "template parsing error: template: :1: unclosed action" in pyrun.fails(64, "info", "-f", "{{.NCPU")


def test_registries_in_effect(pyrun: CommandLine) -> None:
    file = pyrun.home / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text("""
unqualified-search-registries = ["a.example"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "hub.example"
[[registry]]
location = "b.example/x"
insecure = true
[[registry.mirror]]
location = "m.example/x"
insecure = true
[[registry]]
location = "c.example"
blocked = true
""")
    shown = pyrun.ok("info")
    for lines in (
        "Insecure Registries:\n b.example/x\n ::1/128\n 127.0.0.0/8\n",
        "Registry Mirrors:\n https://hub.example/\n http://m.example/x/ (of b.example/x)\n",
        f"Blocked Registries:\n c.example\nSearch Registries:\n a.example\nRegistry Configuration:\n {file}\n",
    ):
        assert lines in shown
    config = json.loads(pyrun.ok("info", "-f", "{{json .RegistryConfig}}"))
    assert config["Mirrors"] == ["https://hub.example/"]
    assert config["IndexConfigs"]["docker.io"] == {
        "Mirrors": ["https://hub.example/"], "Name": "docker.io", "Official": True, "Secure": True,
    }  # fmt: skip
    assert not config["IndexConfigs"]["b.example/x"]["Secure"]
    assert config["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8"]


def test_a_broken_configuration_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "registries.conf"
    file.write_text("[[registry]]")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(file))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    policy = tmp_path / "containers/policy.json"
    policy.parent.mkdir()
    policy.write_text('{"default":[{"type":"reject"}]}')
    (heading, lines), in_force = registry_info().lists
    assert in_force == ("Signature Policy", [f"{policy} (default: reject)"])
    policy.write_text('{"default":[]}')
    assert registry_info().lists[1][1][0].startswith("nothing is accepted: invalid signature policy ")
    assert heading == "Registry Configuration"
    assert lines[0].startswith(f"invalid {file}: /registry/0: it has neither")


def test_version_of_client_and_server(pyrun: CommandLine) -> None:
    version = pyrun.ok("--version").split()[-1]
    assert (
        pyrun.ok("version", "-f", "{{.Client.Version}} {{.Server.Version}} {{.Server.Os}}")
        == f"{version} {version} linux"
    )
    assert pyrun.fails(64, "version", "-f", "{{")
