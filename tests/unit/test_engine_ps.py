"""The list of containers and what is said of one, on records written by hand."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from pyrun.cli import main
from pyrun.engine import ps
from pyrun.engine.inspect import inspect
from pyrun.errors import ContainerNotFoundError, FlagValueError, InvalidInputError
from pyrun.runtime.state import boot_id, start_time
from pyrun.store import containers, owner
from pyrun.store.index import CONFIG
from pyrun.store.layout import Layout

F_OFD_SETLK = 37


class World:
    """A store with containers in it, whose locks this process holds."""

    def __init__(self, path: Path) -> None:
        self.layout = Layout(str(path / "root"), str(path / "run"))
        for directory in (self.layout.containers, self.layout.names, self.layout.live, self.layout.ephemeral):
            os.makedirs(directory)
        self.fds: list[int] = []

    def add(self, digit: str, status: str, **changes: Any) -> str:
        """Make a container with the id `digit` × 64."""
        container_id = digit * 64
        ephemeral = changes.get("ephemeral", False)
        directory = (self.layout.ephemeral_container if ephemeral else self.layout.container)(container_id)
        os.makedirs(directory)
        if ephemeral:
            os.symlink(owner.token(), f"{directory}/owner")
        record = {
            "id": container_id, "name": f"name{digit}", "created": f"2024-01-01T00:00:0{digit}Z", "image": "busybox:1",
            "image_ref": "busybox:1", "image_id": "sha256:" + "e" * 64, "manifest": "sha256:" + "f" * 64,
            "platform": "linux/amd64", "args": ["sh", "-c", "true"], "path": "sh", "ephemeral": False, "labels": {},
            "mounts": [], "ports": [], "hostname": "h", "stop_signal": "SIGTERM", "stop_timeout": 10, "tty": False,
            "stdin_open": False, "network": "private", "uplink": {}, "form": "full", "anonymous_volumes": [],
            "boot_id": boot_id(), "options": options(), **changes,
        }  # fmt: skip
        write(directory, "container.json", record)
        config = {"process": {"env": ["A=1"], "cwd": "/"}, "annotations": {}, "linux": {"maskedPaths": ["/proc/kcore"]}}
        config |= {"mounts": [{"destination": "/dev/shm", "options": ["size=65536k"]}]}
        write(directory, "config.json", config)
        write(directory, "rootfs.json", {"lowerdirs": ["/b", "/a"], "upper": "/u", "work": "/w"})
        Path(directory, "exit").write_bytes(bytes(64))
        Path(directory, "lock").touch()
        os.symlink(directory, self.layout.name(str(record["name"])))
        if status in ("running", "dead", "exited"):
            self.start(directory, container_id, locked=status == "running")
        if status == "exited":
            line = f"1 {changes.get('code', 3)} 0 2024-01-01T01:00:00.000000000Z\n".encode()
            Path(directory, "exit").write_bytes(line.ljust(64, b"\0"))
        return container_id

    def start(self, directory: str, container_id: str, *, locked: bool) -> None:
        pid = os.getpid()
        # The init that it names is gone (another start time): what counts is who holds the lock.
        state = {"version": 1, "pid": pid, "starttime": start_time(pid) + 1, "monitor": pid, "status": "running"}
        state |= {"monitor_starttime": start_time(pid), "boot_id": boot_id(), "started": "2024-01-01T00:30:00Z"}
        write(directory, "state", state)
        if locked:
            os.symlink(directory, self.layout.live_entry(container_id))
            fd = os.open(f"{directory}/lock", os.O_RDWR | os.O_CLOEXEC)
            fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
            self.fds.append(fd)


def write(directory: str, name: str, document: Any) -> None:
    Path(directory, name).write_text(json.dumps(document))


def options() -> dict[str, Any]:
    from pyrun.engine.options import RunOptions

    return RunOptions("busybox:1").as_dict()


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)


def digits(found: list[ps.Container]) -> str:
    return "".join(container.id[0] for container in found)


def test_only_running_ones_unless_all_are_asked_for(world: World) -> None:
    world.add("1", "running")
    world.add("2", "exited")
    world.add("3", "created")
    world.add("4", "dead")
    world.add("5", "running", ephemeral=True)
    assert digits(ps.list_containers(world.layout)) == "51"
    assert digits(ps.list_containers(world.layout, all=True)) == "54321"
    assert [c.state.status for c in ps.list_containers(world.layout, all=True)] == [
        "running", "exited", "created", "exited", "running",
    ]  # fmt: skip
    assert digits(ps.list_containers(world.layout, last=2)) == "54"


def test_a_stale_live_entry_is_not_running(world: World) -> None:
    container_id = world.add("1", "running")
    os.close(world.fds.pop())
    assert ps.list_containers(world.layout) == []
    os.unlink(world.layout.container(container_id) + "/container.json")
    assert ps.list_containers(world.layout) == []


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (["status=exited"], "2"),
        (["status=exited", "status=created"], "32"),
        (["status=exited", "exited=3"], "2"),
        (["status=exited", "exited=0"], ""),
        (["exited=3"], ""),
        (["name=ame1"], "1"),
        (["name=^/name1$"], "1"),
        (["id=1111"], "1"),
        (["id=^11*$"], "1"),
        (["publish=8080"], "1"),
        (["publish=8000-8100/tcp"], "1"),
        (["publish=8080/udp"], ""),
        (["publish=80"], ""),
        (["expose=80"], "1"),
        (["expose=53/udp"], "1"),
        (["expose=443"], ""),
        (["publish=1", "expose=80"], "1"),
        (["is-task=false"], "1"),
        (["is-task=true"], ""),
        (["isolation=default"], "1"),
        (["label=a"], "1"),
        (["label=a=2"], ""),
        (["label=a=1", "label=b"], ""),
        (["ancestor=busybox:1"], "1"),
        (["ancestor=eeeeeeeeeeee"], "1"),
        (["ancestor=debian"], ""),
        (["network=private"], "1"),
        (["network=none"], ""),
        (["volume=/data"], "1"),
        (["since=name2", "status=created"], "3"),
        (["before=name2"], "1"),
    ],
)
def test_filters(world: World, filters: list[str], wanted: str) -> None:
    mount = {"type": "bind", "name": "", "source": "/src", "destination": "/data", "mode": "", "rw": True}
    port = {"host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp"}
    world.add("1", "running", labels={"a": "1"}, mounts=[mount], ports=[port], exposed=["53/udp"])
    world.add("2", "exited", ports=[port])
    world.add("3", "created")
    assert digits(ps.list_containers(world.layout, filters=filters)) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonesuch=1", "invalid filter 'nonesuch'"),
        ("status=up", "invalid filter 'status=up'"),
        ("exited=x", "invalid filter 'exited=x'"),
        ("is-task=x", "invalid filter 'is-task=x'"),
        ("publish=a", "invalid filter 'publish=a'"),
        ("expose=9-8", "invalid filter 'expose=9-8'"),
        ("publish=1:2", "filter for 'publish' should not contain ':': 1:2"),
    ],
)
def test_bad_filters_are_named(world: World, text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ps.list_containers(world.layout, filters=[text])


def test_a_filter_without_a_value_is_a_bad_flag(world: World) -> None:
    with pytest.raises(FlagValueError, match='invalid argument "status" for "-f, --filter" flag: bad format of filter'):
        ps.list_containers(world.layout, filters=["status"])


def test_a_list_reads_records_up_to_their_options(world: World) -> None:
    labels = {"options": '{","options":{', "x": "y" * 5000}
    for digit, more in (("1", {"labels": {"options": "x"}}), ("2", {"labels": labels}), ("3", {})):
        container_id = world.add(digit, "exited", **more)
        path = Path(world.layout.container(container_id), "container.json")
        whole = json.loads(path.read_text())
        # As create writes it; an older pyrun had the options in between.
        last = "boot_id" if digit == "3" else "options"
        whole[last] = whole.pop(last)
        path.write_text(json.dumps(whole, separators=(",", ":")))
        listed = containers.load_listed(str(path.parent))
        assert listed["labels"] == whole["labels"]
        assert ("options" in listed) == (digit != "1")
    assert [c.record["name"] for c in ps.list_containers(world.layout, all=True)] == ["name3", "name2", "name1"]


def test_inspect_has_dockers_shape(world: World) -> None:
    port = {"host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp"}
    container_id = world.add("1", "running", ports=[port])
    world.add("2", "exited")
    document = inspect(world.layout, "name1")
    assert (document["Id"], document["Name"], document["Path"], document["Args"]) == (
        container_id, "/name1", "sh", ["-c", "true"],
    )  # fmt: skip
    assert document["State"]["Running"] is True
    assert document["State"]["Pid"] == os.getpid()
    assert document["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert document["NetworkSettings"]["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    assert document["Config"]["Env"] == ["A=1"]
    assert document["HostConfig"]["MaskedPaths"] == ["/proc/kcore"]
    ended = inspect(world.layout, "2222")
    assert (ended["State"]["Status"], ended["State"]["ExitCode"], ended["State"]["Pid"]) == ("exited", 3, 0)
    with pytest.raises(ContainerNotFoundError):
        inspect(world.layout, "nonesuch")


def fields_of(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the names that are in the document's parts, in their order."""
    parts = {name: document[name] for name in ("State", "HostConfig", "GraphDriver", "Config", "NetworkSettings")}
    parts |= {"": document, "Mounts.item": document["Mounts"][0]}
    parts["Networks.item"] = next(iter(document["NetworkSettings"]["Networks"].values()))
    return {name: list(part) for name, part in parts.items()}


def test_inspect_has_every_field_of_dockers_and_no_other(world: World) -> None:
    corpus = json.loads((Path(__file__).parents[1] / "corpora" / "docker-inspect.json").read_text())
    mount = {"type": "volume", "name": "v", "source": "/v", "destination": "/d", "mode": "", "rw": True}
    in_memory = mount | {"type": "tmpfs", "name": "", "destination": "/t"}
    plenty = {
        "volume": ["/a:/a"], "mount": ["type=bind,src=/a,dst=/b,ro"], "tmpfs": ["/t/:size=1m"], "init": True,
        "stop_signal": "INT", "stop_timeout": 3,
    }  # fmt: skip
    world.add("1", "running", mounts=[mount])
    port = {"host_ip": "", "host_port": 1, "container_port": 2, "protocol": "udp"}
    world.add("2", "running", mounts=[mount, in_memory], options={**options(), **plenty}, ports=[port])
    for name, is_plain in (("name1", True), ("name2", False)):
        document = inspect(world.layout, name)
        assert len(document["Mounts"]) == 1
        for part, found in fields_of(document).items():
            always, perhaps = corpus["fields"][part], corpus["omitted_when_empty"].get(part, [])
            assert [field for field in found if field in always] == always, part
            extra = [field for field in found if field not in always]
            assert set(extra) <= set(perhaps), part
            if is_plain and part == "Config":
                assert not extra


def tag(world: World, image: str) -> None:
    """Let busybox:1 mean the image whose id is all that digit."""
    notes = {"org.opencontainers.image.ref.name": "docker.io/library/busybox:1", CONFIG: f"sha256:{image * 64}"}
    os.makedirs(os.path.dirname(world.layout.index), exist_ok=True)
    document = {"manifests": [{"digest": "sha256:" + "f" * 64, "annotations": notes}]}
    write(os.path.dirname(world.layout.index), "index.json", document)


def test_an_image_is_called_by_its_id_once_its_name_means_another(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("1", "running")
    world.add("2", "running", image_ref="eeeeeeee")
    monkeypatch.setattr(main.Session, "layout", world.layout)
    tag(world, "e")
    assert main.main(["ps", "--format", "{{.Image}}"]) == 0
    tag(world, "a")
    assert main.main(["ps", "--format", "{{.Image}}"]) == 0
    assert main.main(["ps", "--no-trunc", "--format", "{{.Image}}"]) == 0
    whole = "sha256:" + "e" * 64
    assert capsys.readouterr().out.split() == ["eeeeeeee", "busybox:1", "e" * 12, "e" * 12, whole, whole]


def test_ps_prints_dockers_columns(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("1", "running")
    world.add("2", "exited")
    tag(world, "e")
    monkeypatch.setattr(main.Session, "layout", world.layout)
    monkeypatch.setattr("pyrun.cli.text.now", lambda: 1704074400 * 10**9)  # 2024-01-01T02:00:00Z
    assert main.main(["ps", "-a"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "CONTAINER ID   IMAGE       COMMAND        CREATED       STATUS                         PORTS     NAMES",
        '222222222222   busybox:1   "sh -c true"   2 hours ago   Exited (3) About an hour ago             name2',
        '111111111111   busybox:1   "sh -c true"   2 hours ago   Up 2 hours                               name1',
    ]  # fmt: skip
    assert main.main(["ps", "-q"]) == 0
    assert main.main(["ps", "--no-trunc", "-q"]) == 0
    assert main.main(["ps", "-q", "--format", "{{.Names}}"]) == 0
    assert main.main(["ps", "--format", '{{.Names}}:{{.State}}:{{.Label "x"}}']) == 0
    assert main.main(["inspect", "-f", "{{.State.Status}}", "name2"]) == 0
    assert capsys.readouterr().out.splitlines() == ["1" * 12, "1" * 64, "1" * 12, "name1:running:", "exited"]
