"""`login` and `logout`: docker's words, files and helpers; no secret is ever shown."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from pyrun.errors import AuthenticationError
from pyrun.registry import credential_helper
from pyrun.registry.credentials import CredentialStore
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import manifest_of
from tests.support.registry_real import PASSWORD, USER, push, running_registry

AUTH = b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("guarded"), password=True) as domain:
        push(domain, "secret/app", "1", manifest_of(b"{}"), b"{}", login=True)
        yield domain


def config_of(pyrun: CommandLine) -> Path:
    return pyrun.home / ".docker/config.json"


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_login_and_logout(pyrun: CommandLine, guarded: str) -> None:
    assert f"pyrun: not logged in to {guarded}" in pyrun.fails(1, "login", "--get-login", guarded)
    wrong = pyrun.fails(1, "login", "-u", USER, "-p", "battery staple", guarded)
    assert f"login failed: {guarded}: wrong user name or password" in wrong
    assert "WARNING! Using --password via the CLI is insecure. Use --password-stdin." in wrong
    assert not config_of(pyrun).exists()

    done = pyrun("login", "-u", USER, "--password-stdin", guarded, input=f"{PASSWORD}\n")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n")
    assert f"WARNING! Your credentials are stored unencrypted in '{config_of(pyrun)}'." in done.stderr
    assert json.loads(config_of(pyrun).read_text()) == {"auths": {guarded: {"auth": AUTH}}}
    assert stat.S_IMODE(config_of(pyrun).stat().st_mode) == 0o600
    assert pyrun.ok("login", "--get-login", guarded) == USER
    write(config_of(pyrun), {"auths": {guarded: {"auth": b64encode(b"ann:gone").decode()}}})
    assert f"Login did not succeed, error: login failed: {guarded}: wrong user" in pyrun.fails(1, "login", guarded)
    write(config_of(pyrun), {"auths": {guarded: {"auth": AUTH}}})
    again = f"Authenticating with existing credentials... [Username: {USER}]\nLogin Succeeded"
    assert pyrun.ok("login", f"https://{guarded}/") == again

    assert "it does not speak TLS" in pyrun.fails(1, "login", "--tls-verify", guarded)

    assert pyrun.ok("logout", guarded) == f"Removing login credentials for {guarded}"
    assert pyrun.ok("logout", guarded) == f"Not logged in to {guarded}"
    assert pyrun.ok("logout") == "Not logged in to https://index.docker.io/v1/"
    denied = pyrun.fails(1, "pull", f"{guarded}/secret/app:1")
    assert f"log in with `pyrun login {guarded}`" in denied


def test_what_cannot_be(pyrun: CommandLine, guarded: str) -> None:
    no_terminal = "cannot ask for a user name or password: standard input is not a terminal"
    for arguments, complaint in (
        (["-p", "x", "--password-stdin"], "conflicting options: --password and --password-stdin"),
        (["--password-stdin"], "the --password-stdin option requires --username"),
        (["-u", "ann"], no_terminal),
        ([], no_terminal),
        (["-u", "ann", "--password-stdin"], "user name and password are both needed"),
        (["-u", "a:b", "-p", "x"], "the user name is empty or has a colon"),
    ):
        assert complaint in pyrun.fails(1, "login", *arguments, guarded)
    assert not config_of(pyrun).exists()


def test_the_rest_of_the_file_stays(pyrun: CommandLine, guarded: str, tmp_path: Path) -> None:
    kept = {
        "HttpHeaders": {"X": "é\ud800"},
        "psFormat": "table",
        "auths": {"other": {"auth": "YTpi"}},
        "plugins": {"a": {}},
    }
    real = write(tmp_path / "dotfiles/config.json", kept)
    config_of(pyrun).parent.mkdir()
    config_of(pyrun).symlink_to(real)
    pyrun.ok("login", "-u", USER, "--password-stdin", guarded, input=PASSWORD)
    assert config_of(pyrun).is_symlink()
    written = json.loads(real.read_text())
    assert written == {**kept, "auths": {"other": {"auth": "YTpi"}, guarded: {"auth": AUTH}}}
    assert list(written) == list(kept)
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert pyrun.ok("logout", "--all") == "Removed login credentials for all registries"
    assert json.loads(real.read_text()) == {**kept, "auths": {}}
    real.write_text("{")
    assert f"invalid {config_of(pyrun)}: /: invalid JSON" in pyrun.fails(
        1, "login", "-u", USER, "-p", PASSWORD, guarded
    )
    assert real.read_text() == "{"


def test_logins_at_once_all_land(pyrun: CommandLine, guarded: str) -> None:
    names = [f"{guarded}/team{number}" for number in range(6)]
    started = [pyrun.popen("login", "-u", USER, "-p", PASSWORD, name, stdout=-1, stderr=-1) for name in names]
    for process in started:
        out, err = process.communicate()
        assert (process.returncode, out) == (0, b"Login Succeeded\n"), err
    assert set(json.loads(config_of(pyrun).read_text())["auths"]) == set(names)
    assert [path.name for path in config_of(pyrun).parent.iterdir()] == ["config.json"]


def test_authfile_and_podman_s_files(pyrun: CommandLine, guarded: str, tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    pyrun.ok("login", "--authfile", str(file), "-u", USER, "-p", PASSWORD, f"{guarded}/secret")
    assert json.loads(file.read_text()) == {"auths": {f"{guarded}/secret": {"auth": AUTH}}}
    assert not config_of(pyrun).exists()
    chosen = {"REGISTRY_AUTH_FILE": str(file)}
    assert pyrun.ok("login", "--get-login", f"{guarded}/secret/app", environment=chosen) == USER
    assert "not found" in pyrun("pull", f"{guarded}/secret/app:9", environment=chosen).stderr  # not: denied
    assert pyrun("login", "--get-login", guarded, environment=chosen).returncode == 1  # the namespace alone

    runtime = write(
        pyrun.runtime / "containers/auth.json", {"auths": {guarded: {"auth": b64encode(b"bob:x").decode()}}}
    )
    assert pyrun.ok("login", "--get-login", guarded) == "bob"
    done = pyrun("logout", guarded)
    assert done.stdout == f"Not logged in to {guarded}\n"
    assert f"{runtime} has credentials for it still: remove them with --authfile {runtime}" in done.stderr
    assert pyrun.ok("logout", "--authfile", str(runtime), guarded) == f"Removing login credentials for {guarded}"
    write(config_of(pyrun), {"auths": {guarded: {"auth": AUTH}}})
    assert pyrun.ok("login", "--get-login", guarded) == USER  # docker's file is asked first


def test_at_a_terminal(pyrun: CommandLine, guarded: str) -> None:
    """Nothing of the password is echoed."""
    child = pexpect.spawn(pyrun.program[0], [*pyrun.program[1:], "login", guarded], env=pyrun.environment, timeout=60)
    child.expect_exact("Username: ")
    child.sendline(USER)
    child.expect_exact("Password: ")
    child.waitnoecho(10)
    child.sendline(PASSWORD)
    child.expect_exact("Login Succeeded")
    shown = child.before
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert PASSWORD.encode() not in shown + child.before
    assert b"stored unencrypted" in shown


# Helpers

HELPER = """#!{python}
import json, os, sys
drawer, told = {drawer!r}, {told!r}
with open(told, "a") as file:
    lines = [open(f"/proc/{{pid}}/cmdline").read() for pid in ("self", os.getppid())]
    print(*lines, dict(os.environ), file=file)
kept = json.load(open(drawer)) if os.path.exists(drawer) else {{}}
text = sys.stdin.read()
verb = sys.argv[1]
if verb == "store":
    row = json.loads(text)
    kept[row["ServerURL"]] = row
elif verb == "list":
    print(json.dumps({{name: row["Username"] for name, row in kept.items()}}))
elif verb == "get" and text.strip() in kept:
    print(json.dumps(kept[text.strip()]))
elif verb == "erase" and text.strip() in kept:
    del kept[text.strip()]
else:
    print("credentials not found in native keychain")
    sys.exit(1)
json.dump(kept, open(drawer, "w"))
"""


@pytest.fixture
def helpers(pyrun: CommandLine) -> Path:
    """A directory on PATH with docker-credential-drawer, which keeps all in a file, and others that misbehave."""
    directory = pyrun.directory / "bin"
    directory.mkdir()
    drawer, told = directory / "drawer.json", directory / "told"
    scripts = {
        "drawer": HELPER.format(python=sys.executable, drawer=str(drawer), told=str(told)),
        "failing": "#!/bin/sh\necho 'the key ring is locked'\nexit 1\n",
        "nonsense": "#!/bin/sh\necho '{\"Username\": 1'\n",
        "hanging": "#!/bin/sh\nexec sleep 1000\n",
        "silent": "#!/bin/sh\nexit 3\n",
    }
    for name, script in scripts.items():
        (directory / f"docker-credential-{name}").write_text(script)
        (directory / f"docker-credential-{name}").chmod(0o755)
    pyrun.environment["PATH"] = f"{directory}:{pyrun.environment['PATH']}"
    return directory


def test_helper(pyrun: CommandLine, guarded: str, helpers: Path) -> None:
    settings = {"credsStore": "failing", "credHelpers": {guarded: "drawer"}}
    write(config_of(pyrun), settings)
    done = pyrun("login", "-u", USER, "--password-stdin", guarded, input=PASSWORD)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Login Succeeded\n", "")
    assert json.loads(config_of(pyrun).read_text()) == {**settings, "auths": {guarded: {}}}
    kept = json.loads((helpers / "drawer.json").read_text())
    assert kept == {guarded: {"ServerURL": guarded, "Username": USER, "Secret": PASSWORD}}
    assert pyrun.ok("login", "--get-login", guarded) == USER
    assert "not found" in pyrun.fails(1, "pull", f"{guarded}/secret/app:9")
    assert pyrun.ok("logout", guarded) == f"Removing login credentials for {guarded}"
    assert json.loads((helpers / "drawer.json").read_text()) == {}
    refused = pyrun.fails(1, "login", "-u", USER, "-p", PASSWORD, f"{guarded}/secret")
    assert "keeps registries, not namespaces of them" in refused


@pytest.mark.full
def test_helper_for_all_registries(pyrun: CommandLine, guarded: str, helpers: Path) -> None:
    conf = pyrun.home / ".config/containers/registries.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text('credential-helpers = ["drawer", "containers-auth.json"]')
    pyrun.ok("login", "-u", USER, "--password-stdin", guarded, input=PASSWORD)
    assert not config_of(pyrun).exists()
    assert pyrun.ok("login", "--get-login", guarded) == USER
    pyrun.ok("logout", "--all")
    assert json.loads((helpers / "drawer.json").read_text()) == {}
    write(config_of(pyrun), {"auths": {guarded: {"auth": AUTH}}})
    assert pyrun.ok("login", "--get-login", guarded) == USER  # then the files


def test_helper_that_fails(pyrun: CommandLine, guarded: str, helpers: Path) -> None:
    for name, reason in (
        ("failing", "failing store: the key ring is locked"),
        ("missing", "missing store: docker-credential-missing is not installed"),
        ("silent", "silent store: no reason given"),
        ("a/b", "a/b store: no name of a helper"),
    ):
        write(config_of(pyrun), {"credsStore": name})
        refused = pyrun.fails(1, "login", "-u", USER, "-p", PASSWORD, guarded)
        assert f"credential helper failed: {reason}" in refused
        assert json.loads(config_of(pyrun).read_text()) == {"credsStore": name}
    denied = pyrun.fails(1, "pull", f"{guarded}/secret/app:1")
    assert "access denied" in denied
    assert f"credential helper failed: {reason.replace('store', 'get', 1)}" in denied


def test_helper_that_talks_nonsense_or_hangs(
    helpers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pyrun: CommandLine
) -> None:
    monkeypatch.setenv("PATH", pyrun.environment["PATH"])
    with pytest.raises(
        AuthenticationError, match="nonsense get: its answer is no JSON object with Username and Secret"
    ):
        credential_helper.get("nonsense", "host")
    monkeypatch.setattr(credential_helper, "TIMEOUT_SECONDS", 0.1)
    file = write(tmp_path / "config.json", {"credHelpers": {"host": "hanging"}})
    store = CredentialStore([str(file)])
    assert store.get("host") is None
    assert store.problems == ["credential helper failed: hanging get: no answer within 0.1 seconds"]


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("yes", "its answer is longer than 1048576 bytes"),
        ("exec >&-; sleep 60", "no answer within 0.3 seconds"),
        ("echo no: $(cat); exit 1", 'no: {"ServerURL":"host","Username":"u","Secret":"***"}'),
        ("sleep 60 & echo $! >$0.pid; exit 0", ""),  # an agent that holds its output
        ("exec <&-", ""),
    ],
)
def test_helper_that_misbehaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, answer: str) -> None:
    program = tmp_path / "docker-credential-odd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(credential_helper, "TIMEOUT_SECONDS", 0.3 if "seconds" in answer else 20)
    if answer:
        with pytest.raises(AuthenticationError) as caught:
            credential_helper.store("odd", "host", "u", "hidden")
        assert caught.value.message.endswith(f"odd store: {answer}")
    else:
        credential_helper.store("odd", "host", "u", "hidden")
    for agent in tmp_path.glob("*.pid"):
        os.kill(int(agent.read_text()), signal.SIGKILL)


def test_no_secret_is_shown(pyrun: CommandLine, guarded: str, helpers: Path) -> None:
    """Neither by --debug, nor by what fails, nor to those who list processes: proc(5), "cmdline"."""
    secret = "only-once-7c1f"
    shown = []

    def run(*arguments: str, input: str | None = None) -> None:
        done = pyrun("--debug", *arguments, input=input)
        shown.append(done.stdout + done.stderr)

    run("login", "-u", USER, "--password-stdin", guarded, input=secret)
    write(config_of(pyrun), {"auths": {guarded: {"auth": b64encode(f"ann:{secret}".encode()).decode()}}})
    run("login", guarded)
    run("pull", f"{guarded}/secret/app:1")
    write(helpers / "drawer.json", {guarded: {"ServerURL": guarded, "Username": "x", "Secret": secret}})
    write(config_of(pyrun), {"credsStore": "drawer"})
    run("pull", f"{guarded}/secret/app:1")
    run("login", "-u", USER, "--password-stdin", guarded, input=PASSWORD)
    run("logout", guarded)
    for encoded in (secret, b64encode(f"ann:{secret}".encode()).decode(), PASSWORD, AUTH):
        assert encoded not in "".join(shown)
        assert encoded not in (helpers / "told").read_text()
    assert "wrong user name or password" in "".join(shown)
    assert "Traceback" in "".join(shown)
    assert (helpers / "told").read_text().count("docker-credential-drawer\0") >= 4
