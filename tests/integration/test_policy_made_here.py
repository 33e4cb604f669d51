"""What a signature policy says of images that are made here: of a root file system's tar, by `commit`, then pushed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command_line import CommandLine
from tests.support.registry_taking import TakingRegistry
from tests.support.signing import policy, requirement
from tests.support.store_images import tar_of


def test_what_was_made_here_stays_so_when_it_is_pushed(pyrun: CommandLine, tmp_path: Path) -> None:
    pyrun.environment["HOME"] = str(tmp_path)
    pyrun.ok("pull", "-q", "pyrun.local/hello")
    container = pyrun.ok("create", "pyrun.local/hello").strip()
    with TakingRegistry() as taking:
        name = f"{taking.domain}/mine:1"
        pyrun.ok("commit", container, name)
        pyrun.ok("push", name)
        pyrun.ok("tag", "pyrun.local/hello", f"{taking.domain}/hello:1")
        pyrun.ok("push", f"{taking.domain}/hello:1")
        for theirs in (taking.manifests, taking.blobs):
            theirs.clear()  # nobody could sign it there
        rules = policy(tmp_path / "policy.json", requirement())
        for image in (name, f"{taking.domain}/hello:1"):
            pyrun.ok("create", "--signature-policy", rules, image)


def test_import_is_judged_as_podman_s_tarball(pyrun: CommandLine, tmp_path: Path) -> None:
    archive = tmp_path / "fs.tar"
    archive.write_bytes(tar_of(a=b"1"))
    rules = tmp_path / "home/.config/containers/policy.json"
    rules.parent.mkdir(parents=True)
    rules.write_text('{"default": [{"type": "reject"}]}')
    pyrun.environment |= {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": ""}
    said = pyrun.fails(1, "import", str(archive), "a:1")
    assert (
        f'refused by the signature policy: tarball:{archive}: nothing is accepted there (reject) (scope "default" of '
        in said
    )
    assert f'let "tarball" "" accept it in {rules}' in said
    assert "tarball:standard input" in pyrun.fails(1, "import", "-", "a:1", input="")
    assert "tarball:http://127.0.0.1:9/x" in pyrun.fails(1, "import", "http://127.0.0.1:9/x", "a:1")
    assert pyrun.ok("images", "-q") == ""
    accept = {"tarball": {"": [{"type": "insecureAcceptAnything"}]}}
    rules.write_text(json.dumps({"default": [{"type": "reject"}], "transports": accept}))
    pyrun.ok("import", str(archive), "a:1")
    pyrun.ok("create", "a:1", "x")
    rules.write_text('{"default": [{"type": "reject"}]}')
    assert f"tarball:{archive}" in pyrun.fails(125, "create", "a:1", "x")
