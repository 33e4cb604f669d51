"""What `inspect` says of what was asked for: the very values that the docker client (28.2.2) sends to its daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = pytest.mark.requires("unprivileged", "userns", "overlay", "skopeo", "registry")

# (the flags, what docker's client puts into HostConfig); HERE is the working directory.
ASKED = (
    (
        "-v ./x:/y:ro -v vol:/z:nocopy -v HERE/x:/r:rslave",
        {"Binds": ["HERE/x:/y:ro", "vol:/z:nocopy", "HERE/x:/r:rslave"]},
    ),
    (
        "--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770 --mount type=volume,src=vol,dst=/v,volume-nocopy"
        " --mount type=bind,src=./x,dst=/b,bind-propagation=rslave,bind-recursive=disabled,readonly",
        {
            "Mounts": [
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 1016}},
                {
                    "Type": "volume", "Source": "vol", "Target": "/v",
                    "VolumeOptions": {"NoCopy": True, "DriverConfig": {}},
                },
                {
                    "Type": "bind", "Source": "HERE/x", "Target": "/b", "ReadOnly": True,
                    "BindOptions": {"Propagation": "rslave", "NonRecursive": True},
                },
            ]
        },
    ),
    ("--cap-add net_admin --cap-drop all", {"CapAdd": ["CAP_NET_ADMIN"], "CapDrop": ["ALL"]}),
    (
        "--ulimit nofile=10:20 --ulimit core=0",
        {"Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}, {"Name": "nofile", "Hard": 20, "Soft": 10}]},
    ),
    ("--add-host a:1.2.3.4 --add-host b=[::1]", {"ExtraHosts": ["a:1.2.3.4", "b:::1"]}),
    ("--shm-size 1m --ipc host", {"ShmSize": 1048576, "IpcMode": "host"}),
)  # fmt: skip


def test_what_was_asked_for(box: Box) -> None:
    here = box.pyrun.home
    (here / "x").mkdir()
    (here / "env").write_text("B=2\n")
    words = [word.replace("HERE", str(here)) for flags, _ in ASKED for word in flags.split()]
    box.pyrun.ok("create", "--name", "one", "--env-file", "env", *words, box.image)
    document = box.inspect("one")
    for _, wanted in ASKED:
        shown = {key: document["HostConfig"][key] for key in wanted}
        assert json.dumps(shown) == json.dumps(wanted).replace("HERE", str(here))
    propagations = {mount["Destination"]: mount["Propagation"] for mount in document["Mounts"]}
    assert propagations == {"/y": "rprivate", "/z": "", "/r": "rslave", "/t": "", "/v": "", "/b": "rslave"}
    # Not what only the running process is given, with --env-file neither.
    assert [text for text in document["Config"]["Env"] if not text.startswith("PATH=")] == ["B=2"]


def test_what_is_no_name_is_not_found(box: Box) -> None:
    for name in ("", "a b", "../x", "nope"):
        assert f"no such object: {name}\n" in box.pyrun.fails(1, "inspect", name)
    box.start("one")
    broken = box.pyrun("cp", "-", "one:/tmp", input="no archive")
    assert (broken.returncode, broken.stderr) == (
        1,
        "pyrun: cannot copy to one:/tmp: archive is truncated inside a header\n",
    )
