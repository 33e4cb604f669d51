"""The images that the tests run: busybox (small), rich (everything a layer can hold), debian (a real distribution)."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import images
from tests.support.features import ROOT, check, command
from tests.support.images import directory, entry, hardlink, symlink

if TYPE_CHECKING:
    from collections.abc import Mapping

# struct vfs_cap_data, revision 2, effective bit: cap_net_bind_service (capability.h).
NET_BIND_SERVICE = b"\x01\x00\x00\x02" + (1 << 10).to_bytes(4, "little") + bytes(12)

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
)
GROUP = b"root:x:0:\nusers:x:100:alice\nalice:x:1000:\nnogroup:x:65534:\n"


class Catalogue:
    """Makes and pushes an image when a test first asks for it; each attribute is a full reference."""

    def __init__(self, host: str, work: Path) -> None:
        self.host = host
        self._work = work
        self._made: dict[str, str] = {}

    @property
    def busybox(self) -> str:
        """One layer, gzip: /bin/busybox, all its names, passwd and group."""
        return self._made.get("busybox") or self._push("busybox", [busybox_layer()], {"Cmd": ["sh"]})

    @property
    def rich(self) -> str:
        """Four layers: whiteouts, an opaque directory, hard links, xattrs, file capabilities, many owners."""
        config = {
            "Cmd": ["sh"],
            "Env": ["PATH=/bin:/usr/bin", "RICH=yes"],
            "WorkingDir": "/srv/work",
            "User": "alice",
            "Volumes": {"/srv/data": {}},
            "ExposedPorts": {"8080/tcp": {}},
            "StopSignal": "SIGUSR1",
            "Labels": {"kind": "rich"},
        }
        return self._made.get("rich") or self._push("rich", [busybox_layer(), *rich_layers()], config)

    @property
    def debian(self) -> str:
        """A Debian base made by mmdebstrap, with two more layers that change and delete files of it."""
        if "debian" not in self._made:
            base = debian_tarball().read_bytes()
            config = {"Cmd": ["bash"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
            self._push("debian", [base, *debian_changes()], config)
        return self._made["debian"]

    def layout(self, name: str) -> Path:
        """Return the OCI layout that an image was pushed from, its tag is 1."""
        return self._work / name

    def _push(self, name: str, layers: list[bytes], config: Mapping[str, object]) -> str:
        layout = self.layout(name)
        images.write_layout(layout, "1", layers, config, architecture=host_architecture())
        reference = f"{self.host}/{name}:1"
        images.push(layout, "1", reference)
        self._made[name] = reference
        return reference


def host_architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def busybox_layer() -> bytes:
    """Debian's static busybox under all of its names."""
    program = Path("/bin/busybox").read_bytes()
    names = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    entries = [
        directory("bin"),
        entry("bin/busybox", program, mode=0o755),
        *(symlink(f"bin/{name}", "busybox") for name in sorted(set(names) - {"busybox"})),
        *(directory(name) for name in ("dev", "etc", "home", "sys", "usr", "usr/bin", "var")),
        directory("proc", 0o555),
        directory("root", 0o700),
        directory("tmp", 0o1777),
        directory("home/alice", owner=(1000, 1000)),
        entry("etc/passwd", PASSWD),
        entry("etc/group", GROUP),
    ]
    return images.layer(entries)


def rich_layers() -> list[bytes]:
    """Lowest first; what each entry is for stands in its name."""
    owners = [entry(f"srv/owners/{n}", str(n).encode(), owner=(n, n + 1), mode=0o640) for n in range(0, 60000, 997)]
    lower = [
        directory("srv"),
        directory("srv/work", owner=(1000, 1000)),
        directory("srv/data", 0o775, owner=(1000, 100)),
        entry("srv/data/seed", b"from the image\n", owner=(1000, 100)),
        directory("srv/owners"),
        *owners,
        entry("srv/deleted-file", b"x"),
        directory("srv/deleted-directory"),
        entry("srv/deleted-directory/inside", b"x"),
        directory("srv/opaque"),
        entry("srv/opaque/hidden", b"x"),
        entry("srv/replaced-by-directory", b"x"),
        directory("srv/replaced-by-file"),
        entry("srv/replaced-by-file/inside", b"x"),
        entry("srv/link-a", b"three names\n", owner=(7, 8)),
        hardlink("srv/link-b", "srv/link-a", owner=(7, 8)),
        hardlink("srv/link-c", "srv/link-a", owner=(7, 8)),
        entry("srv/with-xattr", b"x", xattrs={"user.colour": b"green", "user.empty": b""}),
        entry("srv/with-capability", b"x", mode=0o755, xattrs={"security.capability": NET_BIND_SERVICE}),
        entry("srv/set-uid", b"x", mode=0o4755, owner=(1000, 0)),
        entry("srv/set-gid", b"x", mode=0o2755, owner=(0, 1000)),
        directory("srv/sticky", 0o1777),
        entry("srv/" + "long-name-" * 20, b"x"),
        entry("srv/naïve-ünïcode-\N{SNOWMAN}", b"x"),
        symlink("srv/absolute-link", "/etc/passwd"),
        symlink("srv/dangling-link", "nowhere/at/all"),
        entry("srv/fifo", kind=tarfile.FIFOTYPE, mode=0o600),
        entry("srv/changed-mode", b"same\n", mode=0o600),
        directory("srv/read-only", 0o555),
        entry("srv/read-only/file", b"x", mode=0o444),
    ]
    middle = [
        entry("srv/.wh.deleted-file"),
        entry("srv/.wh.deleted-directory"),
        directory("srv/opaque"),
        entry("srv/opaque/.wh..wh..opq"),
        entry("srv/opaque/visible", b"new\n"),
        entry("srv/.wh.replaced-by-directory"),
        directory("srv/replaced-by-directory"),
        entry("srv/replaced-by-directory/file", b"x"),
        entry("srv/.wh.replaced-by-file"),
        entry("srv/replaced-by-file", b"now a file\n"),
        entry("srv/changed-mode", b"same\n", mode=0o644, owner=(5, 6)),
    ]
    # A patch layer: no entry for srv/ itself, whose mode and owner must stay those of the layer below.
    top = [entry("srv/data/added-on-top", b"x", owner=(1000, 100)), entry("srv/deleted-file", b"back again\n")]
    return [images.layer(lower), images.layer(middle), images.layer(top)]


def debian_tarball() -> Path:
    """Return a bookworm minbase tar; made once (half a minute) and kept under build/."""
    path = ROOT / "build" / "cache" / "debian-bookworm.tar"
    if not path.exists():
        check("mmdebstrap", "subids")
        program = command("mmdebstrap")
        assert program is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.tar")
        subprocess.run([program, "--quiet", "--variant=minbase", "bookworm", str(partial)], check=True, cwd="/")
        partial.rename(path)
    return path


def debian_changes() -> list[bytes]:
    changed = [
        directory("usr/local/share/pyrun", owner=(33, 33)),
        entry("usr/local/share/pyrun/file", b"x", owner=(33, 4)),
        entry("etc/motd", b"changed\n"),
        entry("usr/share/.wh.doc"),
    ]
    links = [
        entry("usr/local/bin/one", b"#!/bin/sh\necho one\n", mode=0o755, xattrs={"user.kind": b"script"}),
        hardlink("usr/local/bin/two", "usr/local/bin/one"),
        entry("usr/local/bin/bind", b"x", mode=0o755, xattrs={"security.capability": NET_BIND_SERVICE}),
    ]
    return [images.layer(changed), images.layer(links)]
