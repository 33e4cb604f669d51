"""The probes: what they find here is checked another way, and what is taken away they must miss."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pyrun.linux import probe, probe_advice, probe_host
from tests.support import leftovers

ROOT = Path(probe.__file__).parents[2]


class Paths:
    def __init__(self, cache: Path) -> None:
        self.cache = str(cache)


@pytest.fixture(name="found", scope="module")
def found_here(tmp_path_factory: pytest.TempPathFactory) -> probe.Features:
    return probe.features(Paths(tmp_path_factory.mktemp("probe") / "cache"))


def in_child(script: str, tmp_path: Path, *prefix: str, env: dict[str, str] | None = None) -> list[str]:
    """Run the probes in a process that something was done to first; return what the script prints."""
    text = "from pyrun.linux import probe, probe_calls as c\n" + textwrap.dedent(script)
    text += f"\nclass P: cache = {str(tmp_path / 'child')!r}\nf = probe.features(P)\n"
    text += "for x in f: print('+' if x.ok else '-', x.name, '|', x.detail, '|', x.instead, '|', x.remedy)\n"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)} | (env or {})
    command = [*prefix, sys.executable, "-c", text]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def line(lines: list[str], name: str) -> str:
    return next(text for text in lines if text[2:].startswith(name + " |"))


def test_every_feature_is_there_once_in_order(found: probe.Features) -> None:
    if not found.ok("user namespaces"):
        pytest.skip("userns")
    assert [feature.name for feature in found] == list(probe_advice.ORDER)


def test_what_is_missing_names_what_is_used_instead(found: probe.Features) -> None:
    for feature in found:
        assert feature.detail, feature.name
        assert bool(feature.instead) != feature.ok, feature


def test_it_leaves_only_its_cache_file(tmp_path: Path) -> None:
    before = leftovers.Before()
    probe.features(Paths(tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["probe.json"]
    assert before.leftovers() == []


def test_it_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    (tmp_path / f"probe.{ended.pid}" / "work" / "work").mkdir(parents=True)
    (tmp_path / f"probe.{ended.pid}" / "work" / "work").chmod(0)
    (tmp_path / f"probe.{os.getppid()}").mkdir()
    probe.features(Paths(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"probe.json", f"probe.{os.getppid()}"}


def test_user_namespaces_agree_with_unshare(found: probe.Features) -> None:
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "mount",
        "-t",
        "proc",
        "p",
        "/proc",
    ]
    works = subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (found.ok("user namespaces") and found.ok("procfs")) is works


def test_overlay_agrees_with_mount(found: probe.Features, tmp_path: Path) -> None:
    for name in ("l", "u", "w", "m"):
        (tmp_path / name).mkdir()
    mount = f"mount -t overlay o -o userxattr,lowerdir=l,upperdir=u,workdir=w m && echo x > {tmp_path}/m/file"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    works = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path).returncode == 0
    assert found.ok("overlay userxattr") is works


def test_full_id_map_agrees_with_unshare(found: probe.Features) -> None:
    if os.getuid() == 0 and not probe_host.subordinate_ranges("subuid"):
        assert not found.ok("full id map")
        return
    command = ["unshare", "--user", "--map-auto", "--map-root-user", "sh", "-c", "cat /proc/self/uid_map | wc -l"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.ok("full id map") is (result.returncode == 0 and int(result.stdout) == 2)


@pytest.mark.requires("userns")
def test_no_new_privs_is_seen_and_costs_the_full_map(tmp_path: Path) -> None:
    lines = in_child("c.prctl(c.PR_SET_NO_NEW_PRIVS, 1)", tmp_path)
    assert line(lines, "no_new_privs").startswith("- no_new_privs | already set: newuidmap cannot gain privilege")
    if os.getuid():
        assert line(lines, "full id map").startswith("- ")
        assert "single-id map" in line(lines, "full id map")


def test_forbidden_user_namespaces_name_the_cause(tmp_path: Path) -> None:
    """A filter that refuses unshare, as docker's does around us."""
    script = """
    import ctypes, struct
    program = ctypes.create_string_buffer(struct.pack(
        "<HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, 272, 6, 0, 0, 0x50001, 6, 0, 0, 0x7fff0000))
    c.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
    c.syscall("seccomp", 1, 0, struct.pack("@HP", 4, ctypes.addressof(program)))
    """
    if os.uname().machine != "x86_64":
        pytest.skip("needs x86_64: the number is its")
    lines = in_child(script, tmp_path)
    text = line(lines, "user namespaces")
    assert text.startswith("- user namespaces | unshare: Operation not permitted | nothing")
    assert "seccomp=unconfined" in text
    assert not any("procfs |" in text for text in lines), "what was not tried is not answered"


def test_programs_out_of_reach_are_missed(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    lines = in_child("", tmp_path, env={"PATH": str(tmp_path / "bin")})
    for name, command in (("pasta", "passt"), ("newuidmap", "uidmap"), ("fuse-overlayfs", "fuse-overlayfs")):
        text = line(lines, name)
        assert text.startswith(f"- {name} | not in PATH")
        assert f"sudo apt install {'--reinstall ' if command == 'uidmap' else ''}{command}" in text
    assert line(lines, "full id map").startswith("- full id map | newuidmap or its range in /etc/subuid is missing")


def test_newuidmap_without_privilege_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shutil.which("newuidmap") or "/bin/true"
    copy = tmp_path / "newuidmap"
    shutil.copy(source, copy)
    copy.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    ok, detail = probe_host.id_map_helper("newuidmap")
    assert not ok
    assert detail == f"{copy} has neither the setuid bit nor a file capability"


def test_a_closed_device_is_missed_with_its_remedy() -> None:
    outcomes = {"/dev/net/tun": (False, "/dev/net/tun: Permission denied")}
    assert probe_advice.advice("/dev/net/tun", outcomes)[1] in (
        "sudo chmod 0666 /dev/net/tun",
        "sudo modprobe tun (inside docker: docker run --device /dev/net/tun)",
    )


@pytest.mark.requires("userns")
def test_overlay_refused_by_the_file_system(tmp_path: Path) -> None:
    """A store on overlay itself: the kernel refuses it as an upper layer's home, and that is what is said."""
    for name in ("l", "u", "w", "m"):
        (tmp_path / name).mkdir()
    mount = 'mount -t overlay o -o userxattr,lowerdir=l,upperdir=u,workdir=w m && mkdir m/s && exec "$@"'
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"cd {tmp_path} && {mount}", "sh")
    text = "from pyrun.linux import probe\n" + f"class P: cache = {str(tmp_path / 'm' / 's')!r}\n"
    text += "f = probe.features(P)\nfor n in ('overlay lowerdir+', 'overlay userxattr'): print(f[n].ok, f[n].instead)\n"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*prefix, sys.executable, "-c", text], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    new, old = result.stdout.splitlines()
    assert new.startswith("False")
    assert old.startswith("False")
    assert "fuse-overlayfs" in old or "copied tree" in old


# -- the cache


def test_the_second_time_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probe.features(Paths(tmp_path))
    monkeypatch.setattr(probe, "_try_all", None)
    again = probe.features(Paths(tmp_path))
    assert [(f.name, f.ok, f.detail) for f in again] == [(f.name, f.ok, f.detail) for f in first]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": []}'])
def test_a_damaged_cache_is_tried_again(tmp_path: Path, damage: bytes) -> None:
    probe.features(Paths(tmp_path))
    (tmp_path / "probe.json").write_bytes(damage)
    assert len(list(probe.features(Paths(tmp_path)))) > 20
    assert (tmp_path / "probe.json").read_bytes() != damage


def test_refresh_and_a_changed_path_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    real = probe._try_all

    def counted(directory: str) -> dict[str, tuple[bool, str]]:
        tried.append(directory)
        return real(directory)

    monkeypatch.setattr(probe, "_try_all", counted)
    probe.features(Paths(tmp_path))
    probe.features(Paths(tmp_path))
    assert len(tried) == 1
    probe.features(Paths(tmp_path), refresh=True)
    assert len(tried) == 2
    programs = tmp_path / "programs"
    programs.mkdir()
    shutil.copy("/bin/true", programs / "pasta")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert probe.features(Paths(tmp_path))["pasta"].detail == str(programs / "pasta")
    assert len(tried) == 3


def test_subordinate_ranges_by_number_and_advice_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_host, "subordinate_ranges", lambda kind: [])
    monkeypatch.setattr(probe_host, "user_name", lambda: "nobody-here")
    outcomes = {f"subordinate {k}ids": probe_host.subordinate_ids(f"sub{k}id") for k in "ug"}
    assert outcomes["subordinate uids"] == (False, "/etc/subuid has no line for nobody-here")
    instead, remedy = probe_advice.advice("subordinate uids", outcomes)
    uid, gid = probe_advice.free_range("subuid"), probe_advice.free_range("subgid")
    assert "single-id map" in instead
    assert remedy == (f"sudo usermod --add-subuids {uid}-{uid + 65535} --add-subgids {gid}-{gid + 65535} nobody-here")


def test_info_shows_rows_features_paths_and_versions(tmp_path: Path) -> None:
    from pyrun.engine import info
    from pyrun.store.layout import Layout

    (tmp_path / "root").mkdir()
    result = info.info(Layout(str(tmp_path / "root"), str(tmp_path / "run"))).as_dict()
    assert (result["Containers"], result["Images"], result["Kernel Version"]) == (0, 0, os.uname().release)
    assert {"Storage Driver", "Id Map", "Network", "Security Options", "Root Dir"} <= result.keys()
    assert [set(f) for f in result["Features"][:1]] == [{"name", "ok", "detail", "instead", "remedy"}]
    assert result["Paths"]["root"] == str(tmp_path / "root")
    assert result["Versions"]["libseccomp"][0].isdigit()
