"""SIGKILL to `login`, `logout` and `image generate-key-pair`: no file of the user's is lost, cut off or left behind.

Forty instants of each with `--full`, otherwise two; what must hold is in tests/README.md.
"""

from __future__ import annotations

import json
import os
import stat
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.trust import private_key
from tests.support.features import requires
from tests.support.killing import INSTANTS, between, stepped

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine

pytestmark = requires("native", "registry")

KEPT = {"HttpHeaders": {"X": "é"}, "psFormat": "table {{.Names}}", "plugins": {"a": {}}}
OTHERS = {"other.example": {"auth": b64encode(b"a:b").decode()}}
OURS = {"auth": b64encode(b"ann:secret").decode()}
SECRET = {"COSIGN_PASSWORD": "correct horse"}


class Files:
    """The user's directory: what is in it, and the verbs that change it."""

    def __init__(self, pyrun: CommandLine, registry: str, told: Path) -> None:
        self.pyrun = pyrun
        self.registry = registry
        self.config = pyrun.home / ".docker/config.json"
        self.config.parent.mkdir()
        self._told = told

    def step(self, when: int, *argv: str) -> dict[str, Any]:
        found = stepped(
            self._told, "client", when, "client,helper", str(self.pyrun.home), [*self.pyrun.program, *argv],
            environment=self.pyrun.environment | SECRET, cwd=self.pyrun.home,
        )  # fmt: skip
        if found["killed"]:
            INSTANTS.add((" ".join(argv), "client", str(when), "client,helper"))
        return found

    def write(self, auths: dict[str, Any]) -> None:
        self.config.write_text(json.dumps({**KEPT, "auths": auths}))
        self.config.chmod(0o600)

    def auths(self) -> dict[str, Any]:
        """Return who is logged in; all else must be as it was."""
        document = json.loads(self.config.read_text())
        auths: dict[str, Any] = document.pop("auths")
        assert document == KEPT
        assert stat.S_IMODE(self.config.stat().st_mode) == 0o600
        assert OTHERS.items() <= auths.items()
        return auths

    def with_ours(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return everybody's entries, and this one for the registry."""
        return {**OTHERS, self.registry: entry} if entry else OTHERS

    def keys(self) -> list[str]:
        """Return the files of keys that there are, each of which must be readable, and all of one pair."""
        home = self.pyrun.home
        found = sorted(name for name in os.listdir(home) if name.startswith((".k.", "k.")))
        public = []
        if "k.key" in found:
            assert stat.S_IMODE((home / "k.key").stat().st_mode) == 0o600
            secret = SECRET["COSIGN_PASSWORD"].encode()
            public.append(private_key.parse((home / "k.key").read_bytes(), "k.key", secret).public.pem())
        if "k.pub" in found:
            public.append((home / "k.pub").read_bytes())
        assert len({*public}) <= 1
        return found

    def remove_keys(self) -> None:
        for name in self.keys():
            (self.pyrun.home / name).unlink()

    def only_config(self) -> bool:
        return os.listdir(self.config.parent) == ["config.json"]


@pytest.fixture
def files(pyrun: CommandLine, registry: str, tmp_path: Path) -> Files:
    return Files(pyrun, registry, tmp_path / "told.json")


# The verb's words, and who is logged in to the registry before and after.
VERBS = {
    "login": (("login", "-u", "ann", "-p", "secret"), {}, OURS),
    "login, again": (("login", "-u", "ann", "-p", "secret"), {"auth": "b2xkOm9sZA=="}, OURS),
    "logout": (("logout",), OURS, {}),
}


@pytest.mark.parametrize(
    "verb", [verb if verb == "login" else pytest.param(verb, marks=pytest.mark.full) for verb in VERBS]
)
def test_credentials(files: Files, verb: str, pytestconfig: pytest.Config) -> None:
    """Who was logged in elsewhere is, what pyrun does not understand is there, and the verb can be asked for again."""
    words, before, after = VERBS[verb]
    argv = (*words, files.registry)
    is_full = pytestconfig.getoption("--full")
    files.write(files.with_ours(before))
    counted = files.step(0, *argv)
    assert files.auths() == files.with_ours(after)
    first, last = counted["first"], counted["calls"]["client"]
    killed, left = 0, 0
    for when in between(40, first, last) if is_full else between(2, last - last // 20, last - last // 40):
        files.write(files.with_ours(before))
        killed += bool(files.step(when, *argv)["killed"])
        assert files.auths() in (files.with_ours(before), files.with_ours(after)), when
        left += not files.only_config()
        # A logout that has come to its end has nothing to write, and what is left is then for the next login.
        files.write(files.with_ours(before))
        files.pyrun.ok(*argv)
        assert files.auths() == files.with_ours(after)
        assert files.only_config(), when
    assert killed > (20 if is_full else 0)
    assert left or not is_full, "no instant hit the time between the new file and its rename"


@pytest.mark.full
def test_a_key_pair(files: Files) -> None:
    """What has a name is whole; of a pair, the private key may be alone."""
    argv = ("image", "generate-key-pair", "--output-key-prefix", str(files.pyrun.home / "k"))
    counted = files.step(0, *argv)
    assert files.keys() == ["k.key", "k.pub"]
    first, last = counted["first"], counted["calls"]["client"]
    # The files are written at the very end.
    for when in [*between(10, first, last - 60), *between(30, last - 59, last)]:
        files.remove_keys()
        files.step(when, *argv)
        left = files.keys()
        assert left in ([], ["k.key"], ["k.key", "k.pub"]), when
        again = files.pyrun(*argv, environment=SECRET)
        assert again.returncode == (1 if left else 0), again.stderr
        assert not left or "k.key: it is there already" in again.stderr
        assert files.keys() == (left or ["k.key", "k.pub"])
