"""info and version by template: what scripts written for docker ask."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def test_version_of_client_and_server(pyrun: CommandLine) -> None:
    version = pyrun.ok("--version").split()[-1]
    assert (
        pyrun.ok("version", "-f", "{{.Client.Version}} {{.Server.Version}} {{.Server.Os}}")
        == f"{version} {version} linux"
    )
    assert pyrun.fails(64, "version", "-f", "{{")
