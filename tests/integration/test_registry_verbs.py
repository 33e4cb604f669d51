"""`pyrun registry …`: what skopeo does to images where they are, with skopeo as the judge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import registry_real
from tests.support.catalogue import Catalogue
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import HostileRegistry, digest_of, status

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """Give a second registry, which asks for a password and allows no deletion."""
    with registry_real.running_registry(tmp_path, password=True) as domain:
        yield domain


def skopeo(*argv: str) -> str:
    done = subprocess.run(["skopeo", *argv], capture_output=True, text=True, check=True)
    return done.stdout


def raw(name: str, *options: str) -> bytes:
    argv = ["skopeo", "inspect", "--raw", "--tls-verify=false", *options, f"docker://{name}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def push_index(domain: str, repository: str, tag: str) -> str:
    """Push an index of two platforms whose layers differ; return its digest."""
    entries = []
    for architecture in ("amd64", "s390x"):
        layer = f"layer of {architecture}".encode() * 9
        config = json.dumps({
            "architecture": architecture, "os": "linux", "config": {"Env": [f"A={architecture}"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }).encode()  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config),
                       "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(layer),
                        "size": len(layer)}],
        }  # fmt: skip
        digest = registry_real.push(domain, repository, architecture, manifest, layer, config)
        size = len(json.dumps(manifest).encode())
        platform = {"architecture": architecture, "os": "linux"}
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
    return registry_real.push(domain, repository, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def test_inspect_as_skopeo(pyrun: CommandLine, images: Catalogue) -> None:
    ours: dict[str, Any] = json.loads(pyrun.ok("registry", "inspect", images.rich))
    theirs = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{images.rich}"))
    same = ("Name", "Digest", "RepoTags", "Created", "Labels", "Architecture", "Os", "Layers", "Env")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    config = json.loads(pyrun.ok("registry", "inspect", "--config", images.rich))
    assert config == json.loads(skopeo("inspect", "--config", "--raw", "--tls-verify=false", f"docker://{images.rich}"))
    assert pyrun.ok("registry", "inspect", "--raw", f"docker://{images.rich}").encode() == raw(images.rich)


def test_inspect_an_index(pyrun: CommandLine, registry: str) -> None:
    name = f"{registry}/verbs/index:1"
    digest = push_index(registry, "verbs/index", "1")
    found = json.loads(pyrun.ok("registry", "inspect", "--platform", "linux/s390x", name))
    assert found["Digest"] == digest
    assert [row["Platform"] for row in found["Platforms"]] == ["linux/amd64", "linux/s390x"]
    assert found["Manifest"] == found["Platforms"][1]["Digest"]
    assert (found["Architecture"], found["Env"]) == ("s390x", ["A=s390x"])
    assert "no image for linux/arm64" in pyrun.fails(1, "registry", "inspect", "--platform", "linux/arm64", name)


def test_ls_and_catalog(pyrun: CommandLine, registry: str) -> None:
    push_index(registry, "verbs/listed", "1")
    tags = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{registry}/verbs/listed"))["Tags"]
    assert sorted(tags) == ["1", "amd64", "s390x"]
    assert pyrun.ok("registry", "ls", f"{registry}/verbs/listed").split() == tags
    assert "verbs/listed" in pyrun.ok("registry", "catalog", registry).split()
    document = json.loads(pyrun.ok("registry", "ls", "--format", "json", f"{registry}/verbs/listed"))
    assert document == {"Repository": f"{registry}/verbs/listed", "Tags": tags}
    assert "leave tag and digest out" in pyrun.fails(1, "registry", "ls", f"{registry}/verbs/listed:1")


def test_copy_keeps_every_byte(pyrun: CommandLine, registry: str, other: str, tmp_path: Path) -> None:
    digest = push_index(registry, "verbs/source", "1")
    source, target = f"{registry}/verbs/source:1", f"{other}/far/copy:2"
    pyrun.ok("login", "-u", registry_real.USER, "--password-stdin", other, input=registry_real.PASSWORD)
    kept = tmp_path / "digest"
    assert pyrun.ok("registry", "copy", "--all", "-q", "--digestfile", str(kept), source, target) == digest
    assert kept.read_text() == digest
    login = ("--creds", f"{registry_real.USER}:{registry_real.PASSWORD}")
    assert digest_of(raw(target, *login)) == digest
    for row in json.loads(pyrun.ok("registry", "inspect", target))["Platforms"]:
        assert raw(row["Name"], *login) == raw(f"{registry}/verbs/source@{row['Digest']}")
    again = pyrun("registry", "copy", "-a", source, target).stderr
    assert again.count("already exists") == 4


def test_copy_one_platform_within_a_registry_mounts(pyrun: CommandLine, registry: str) -> None:
    push_index(registry, "verbs/wide", "1")
    source, target = f"{registry}/verbs/wide:1", f"{registry}/verbs/narrow:1"
    done = pyrun("registry", "copy", "--platform", "linux/s390x", source, target)
    assert done.stderr.count(": mounted\n") == 2
    assert done.stdout.strip() == digest_of(raw(target)) == digest_of(raw(f"{registry}/verbs/wide:s390x"))
    assert "cannot copy to" in pyrun.fails(1, "registry", "copy", source, f"{registry}/verbs/narrow@sha256:{'0' * 64}")
    assert "conflicting options" in pyrun.fails(
        1, "registry", "copy", "-a", "--platform", "linux/s390x", source, target
    )


def test_delete(pyrun: CommandLine, registry: str, other: str) -> None:
    push_index(registry, "verbs/gone", "1")
    name = f"{registry}/verbs/gone:1"
    digest = json.loads(pyrun.ok("registry", "inspect", name))["Digest"]
    refusal = pyrun.fails(1, "registry", "delete", name)
    assert "the registry must allow it" in refusal
    assert json.loads(pyrun.ok("registry", "inspect", name))["Digest"] == digest


def test_refusals_of_a_registry(pyrun: CommandLine) -> None:
    with HostileRegistry() as hostile:
        hostile.on("/v2/_catalog", status(404))
        assert "many registries do not tell" in pyrun.fails(1, "registry", "catalog", hostile.domain)
        hostile.on("/v2/a/tags/list", status(200, b'{"tags":["x"]}', Link='</v2/a/tags/list?n=1000>; rel="next"'))
        assert "go in circles" in pyrun.fails(1, "registry", "ls", f"{hostile.domain}/a")
        hostile.on("/v2/a/tags/list", status(200, b'{"tags":[1]}'))
        assert "not of the documented form" in pyrun.fails(1, "registry", "ls", f"{hostile.domain}/a")


def test_a_password_typed(pyrun: CommandLine, registry: str, other: str, tmp_path: Path) -> None:
    typed = ("--creds", f"{registry_real.USER}:{registry_real.PASSWORD}")
    push_index(registry, "typed/app", "1")
    pyrun.ok("manifest", "create", f"{other}/typed/app:1", f"{registry}/typed/app:1", "--all")
    assert "denied" in pyrun.fails(1, "manifest", "push", "-q", f"{other}/typed/app:1")
    digest = pyrun.ok("manifest", "push", "-q", *typed, f"{other}/typed/app:1")
    assert pyrun.ok("registry", "inspect", "--format", "{{.Digest}}", *typed, f"{other}/typed/app:1") == digest
    assert pyrun.ok("registry", "ls", *typed, f"{other}/typed/app").split()[-1] == "1"
    assert "manifests" in json.loads(pyrun.ok("manifest", "inspect", *typed, f"{other}/typed/app:1"))
    assert "USER:PASSWORD" in pyrun.fails(1, "registry", "ls", "--creds", "ann", f"{other}/typed/app")
    missing = str(tmp_path / "none.json")
    assert f"{missing}: no such file" in pyrun.fails(1, "registry", "ls", "--authfile", missing, f"{other}/typed/app")

    # One password is for one registry.
    copied = f"{other}/typed/copy:1"
    assert pyrun.ok("registry", "copy", "-q", *typed, f"{registry}/typed/app:1", copied) == pyrun.ok(
        "registry", "inspect", "--format", "{{.Digest}}", *typed, copied
    )
    assert f"{other}/typed/copy" in pyrun.ok("search", *typed, "--format", "{{.Name}}", f"{other}/typed")
    pyrun.ok("manifest", "create", *typed, "x", copied)
    pyrun.ok("manifest", "add", *typed, "x", f"{other}/typed/app:1")
    refused = pyrun.fails(1, "manifest", "create", *typed, "y", copied, f"{registry}/typed/app:1")
    assert refused == f"pyrun: credentials are for one registry: there are {other}, {registry}\n"
    assert "for one registry" in pyrun.fails(1, "registry", "delete", *typed, copied, f"{registry}/typed/app:1")
