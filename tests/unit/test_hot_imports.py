"""The verbs that people wait for must not import what is dear: what each has loaded when it has parsed and looked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.features import ROOT
from tests.support.imported import complaint, imported

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYRUN_ROOT": str(tmp_path / "root"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }


def test_ps(tmp_path: Path, environment: dict[str, str]) -> None:
    done, modules = imported(tmp_path, environment, "ps", "--all")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CONTAINER ID")
    assert not complaint("ps", modules)


@pytest.mark.parametrize(
    "verb", ["start", "stop", "kill", "rm", "logs", "wait", "exec", "rename", "pause", "unpause", "restart"]
)
def test_verbs_on_an_unknown_container(tmp_path: Path, environment: dict[str, str], verb: str) -> None:
    done, modules = imported(tmp_path, environment, verb, "nobody", *(["true"] if verb in ("exec", "rename") else []))
    assert done.returncode in (1, 125), done.stderr
    assert "nobody" in done.stderr
    assert not complaint(verb, modules)


def test_run_without_the_image(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = [
        "run",
        "--rm",
        "--pull",
        "never",
        "-e",
        "A=b",
        "-v",
        "/tmp:/x",
        "-p",
        "8080:80",
        "nowhere.invalid/x",
        "true",
    ]
    done, modules = imported(tmp_path, environment, *arguments)
    assert done.returncode == 125, done.stderr
    assert not complaint("run", modules)


def test_run_by_a_short_name(tmp_path: Path, environment: dict[str, str]) -> None:
    """What it stands for is a matter of registries.conf, which is not parsed by each start."""
    file = tmp_path / ".config" / "containers" / "registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[aliases]\nsmall = 'nowhere.invalid/small'\n")
    os.utime(file, (1, 1))
    arguments = ("run", "--rm", "--pull", "never", "small", "true")
    imported(tmp_path, environment, *arguments)
    done, modules = imported(tmp_path, environment, *arguments)
    assert done.returncode == 125, done.stderr
    assert "pyrun.registry.short_names" in modules
    assert not complaint("run", modules)


def test_documents_are_read_and_shown_without_what_is_dear() -> None:
    """What `history` and `image inspect` do with a blob: an image to ask for is not to be had here."""
    code = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "from pyrun.cli.text import json_text; from pyrun.oci import digest\n"
        "print(digest.of(json_text([{'a': ['b', 1]}]).encode()))\n"
        "print(*sys.modules)"
    )
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    shown, modules = done.stdout.splitlines()
    assert shown == "sha256:" + hashlib.sha256(json.dumps([{"a": ["b", 1]}], indent=4).encode()).hexdigest()
    assert not {"hashlib", "json", "re"} & set(modules.split())


def test_a_pull_asks_without_what_is_dear() -> None:
    """What a pull of an unchanged tag loads: http.client, ssl and urllib would be two thirds of it."""
    code = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "from pyrun.engine import pull; from pyrun.registry import config, plain_head, short_names\n"
        "print(*sys.modules)"
    )
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    assert not {"http", "ssl", "socket", "urllib", "re", "email", "pyrun.registry.client"} & set(done.stdout.split())


def test_the_rule_can_fail(tmp_path: Path, environment: dict[str, str]) -> None:
    _, modules = imported(tmp_path, environment, "--help")
    assert "click" in complaint("run", modules)
