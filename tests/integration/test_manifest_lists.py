"""`pyrun manifest …`: indexes put together of images here and at registries, with skopeo as the judge."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.test_registry_verbs import push_index, raw
from tests.support.catalogue import Catalogue
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import digest_of


def entries(pyrun: CommandLine, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(pyrun.ok("manifest", "inspect", name))["manifests"]
    return found


def test_a_list_of_both_kinds(pyrun: CommandLine, registry: str, images: Catalogue, tmp_path: Path) -> None:
    name = f"{registry}/lists/both:1"
    push_index(registry, "lists/far", "1")
    pyrun.ok("pull", "-q", images.busybox)
    assert pyrun.ok("manifest", "create", name, images.busybox) == f"Created manifest list {name}"
    added = pyrun.ok("manifest", "add", "--all", "--annotation", "from=far", name, f"{registry}/lists/far:1")
    shown = entries(pyrun, name)
    assert [item["platform"]["architecture"] for item in shown] == ["amd64", "amd64", "s390x"]
    assert [item.get("annotations") for item in shown] == [None, {"from": "far"}, {"from": "far"}]
    pyrun.ok("manifest", "annotate", "--arch", "riscv64", "--os-features", "x,y", name, images.busybox)
    assert entries(pyrun, name)[0]["platform"] == {"architecture": "riscv64", "os": "linux", "os.features": ["x", "y"]}
    assert "2 entries" in pyrun.fails(1, "manifest", "annotate", "--arch", "arm", name, f"{registry}/lists/far:1")
    assert pyrun.ok("manifest", "remove", name, shown[1]["digest"]) != added
    kept = tmp_path / "digest"
    digest = pyrun.ok("manifest", "push", "-q", "--digestfile", str(kept), name)
    assert kept.read_text() == digest == digest_of(raw(name))
    assert json.loads(raw(name))["manifests"] == entries(pyrun, name)
    # All that it names is there now, also what came from elsewhere.
    to = tmp_path / "copy"
    argv = ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", f"docker://{name}", f"dir:{to}"]
    subprocess.run(argv, check=True, capture_output=True)
    assert pyrun("manifest", "exists", name).returncode == 0
    assert pyrun.ok("manifest", "push", "-q", "--purge", "-f", "v2s2", name, f"{registry}/lists/docker:1") != digest
    assert json.loads(raw(f"{registry}/lists/docker:1"))["mediaType"].endswith("manifest.list.v2+json")
    assert pyrun("manifest", "exists", name).returncode == 1


def test_what_a_list_names_is_kept_for_it(pyrun: CommandLine, registry: str, images: Catalogue) -> None:
    name = f"{registry}/lists/kept:1"
    pyrun.ok("pull", "-q", images.busybox)
    pyrun.ok("manifest", "create", name, images.busybox)
    pyrun.ok("rmi", images.busybox)
    digest = pyrun.ok("manifest", "push", "-q", name)
    assert digest_of(raw(name)) == digest
    pyrun.ok("manifest", "rm", name)
    assert not list((pyrun.root / "oci/blobs/sha256").iterdir())


def test_two_additions_at_once_are_both_there(pyrun: CommandLine, registry: str) -> None:
    name = f"{registry}/lists/race:1"
    for number in range(4):
        push_index(registry, f"lists/of{number}", "1")
    pyrun.ok("manifest", "create", name)
    running = [
        pyrun.popen("manifest", "add", "--arch", f"m{number}", name, f"{registry}/lists/of0:{architecture}")
        for number, architecture in enumerate(("amd64", "s390x"))
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert sorted(item["platform"]["architecture"] for item in entries(pyrun, name)) == ["m0", "m1"]


def test_refusals(pyrun: CommandLine, registry: str) -> None:
    name = f"{registry}/lists/none:1"
    assert "no such manifest list" in pyrun.fails(1, "manifest", "add", name, "x")
    assert "no such manifest list" in pyrun.fails(1, "manifest", "rm", name)
    pyrun.ok("manifest", "create", name)
    assert "there is one" in pyrun.fails(1, "manifest", "create", name)
    pyrun.ok("manifest", "create", "--amend", name)
    assert "it is empty" in pyrun.fails(1, "manifest", "push", name)
    assert "no such entry" in pyrun.fails(1, "manifest", "remove", name, f"sha256:{'0' * 64}")
    assert "not found" in pyrun.fails(1, "manifest", "add", name, f"{registry}/lists/nowhere:1")
    assert "KEY=VALUE" in pyrun.fails(1, "manifest", "add", "--annotation", "x", name, f"{registry}/lists/far:amd64")
