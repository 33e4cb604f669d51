"""Container directories: names, prefixes, crashes, and what many processes do to the same names."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.errors import (
    ContainerNotFoundError,
    FeatureMissingError,
    InvalidInputError,
    NameInUseError,
    StoreCorruptError,
    StoreError,
    StoreVersionError,
)
from pyrun.store import containers, fsio, names, new_container, owner, record_change, trees
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from pyrun.store.version import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    result = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    open_store(result)
    return result


def make(layout: Layout, name: str = "", *, ephemeral: bool = False, container_id: str = "") -> tuple[str, str]:
    container_id = container_id or new_container.new_id()
    record = {"id": container_id, "name": name, "ephemeral": ephemeral}
    return container_id, new_container.create(layout, record, {"config.json": b"{}", "rootfs.json": b"{}"})


def left_over(layout: Layout) -> list[str]:
    places = (layout.tmp, layout.trash, layout.leases, layout.ephemeral)
    return [f"{place}/{name}" for place in places for name in os.listdir(place)]


def test_create_makes_every_file_of_the_layout(layout: Layout) -> None:
    container_id, path = make(layout, "web")
    assert path == layout.container(container_id)
    expected = ["config.json", "container.json", "exit", "lock", "logs", "rootfs", "rootfs.json", "upper", "work"]
    assert sorted(os.listdir(path)) == expected
    assert Path(path, "exit").read_bytes() == bytes(64)
    assert os.stat(f"{path}/upper").st_mode & 0o7777 == 0o755
    assert containers.load(path) == {"id": container_id, "name": "web", "ephemeral": False}
    assert left_over(layout) == []


@pytest.mark.parametrize("ephemeral", [False, True])
def test_what_a_start_needs_is_on_disk_before_the_directory_has_its_name(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, ephemeral: bool
) -> None:
    synced: list[str] = []
    at_rename: list[list[str]] = []
    fdatasync, rename = os.fdatasync, os.rename

    def note_sync(fd: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fdatasync(fd)

    def note_rename(source: str, target: str) -> None:
        at_rename.append(sorted(synced))
        rename(source, target)

    monkeypatch.setattr(os, "fdatasync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    make(layout, "web", ephemeral=ephemeral)
    # A --rm container does not outlive the machine.
    assert at_rename[-1] == ([] if ephemeral else ["config.json", "container.json", "rootfs.json"])


def test_an_ephemeral_one_has_a_place_of_its_own_and_an_owner(layout: Layout) -> None:
    container_id, path = make(layout, "once", ephemeral=True)
    assert path == layout.ephemeral_container(container_id)
    assert not owner.is_dead(os.readlink(f"{path}/owner"))
    assert (container_id, path) in containers.list(layout)
    assert containers.resolve(layout, "once") == (container_id, path)
    containers.delete(layout, container_id, path)
    assert left_over(layout) == []
    assert os.listdir(layout.names) == []


def test_name_in_use_names_the_holder_and_leaves_nothing(layout: Layout) -> None:
    first, _ = make(layout, "web")
    with pytest.raises(NameInUseError) as caught:
        make(layout, "web", ephemeral=True)
    assert caught.value.container_id == first
    with pytest.raises(NameInUseError):
        make(layout, "/web")
    assert os.listdir(layout.containers) == [first]
    assert left_over(layout) == []


def test_lost_race_for_a_name_takes_the_directory_back(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = make(layout, "web")
    real = new_container.refuse_taken
    calls: list[str] = []

    def blind_once(where: Layout, name: str) -> bool:
        calls.append(name)
        return len(calls) > 1 and real(where, name)

    monkeypatch.setattr(new_container, "refuse_taken", blind_once)
    with pytest.raises(NameInUseError):
        make(layout, "web")
    assert len(calls) == 2
    assert os.listdir(layout.containers) == [first]
    assert left_over(layout) == []


def test_dead_name_is_replaced(layout: Layout) -> None:
    os.symlink(layout.ephemeral + "/" + "0" * 64, layout.name("web"))
    with pytest.raises(ContainerNotFoundError):
        containers.resolve(layout, "web")
    container_id, path = make(layout, "web")
    assert containers.resolve(layout, "web") == (container_id, path)
    assert os.readlink(layout.name("web")) == f"../containers/{container_id}"


def test_a_name_that_became_free_is_not_taken_from_who_was_faster(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_path = make(layout, "web")
    faster: list[str] = []
    real = containers.holder

    def after_the_first_has_gone(where: Layout, name: str) -> str:
        if containers.list(layout) == [(first, first_path)]:
            return ""  # not taken yet, when the second container begins
        if not faster:  # symlink(2) has said EEXIST, the names are locked: now the name is given away
            faster.append("")
            os.unlink(layout.name("web"))
            assert real(where, name) == ""
            faster[0], _ = make(layout, "web")
            return ""
        return real(where, name)

    monkeypatch.setattr(containers, "holder", after_the_first_has_gone)
    with pytest.raises(NameInUseError):
        make(layout, "web")
    assert containers.resolve(layout, "web")[0] == faster[0]


@pytest.mark.parametrize("name", ["a", "-ab", ".ab", "a/b", "a b", "é1", "", "/", "a\n", "_x", "//ab"])
def test_bad_names(layout: Layout, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] are allowed"):
        new_container.check_name(name)


def test_resolve_prefers_id_then_name_then_prefix(layout: Layout) -> None:
    one, one_path = make(layout, container_id="abc1" + "0" * 60)
    two, two_path = make(layout, "abc", container_id="abc2" + "0" * 60)
    three, three_path = make(layout, one, container_id="f" * 64)  # a name that is another one's id
    assert containers.resolve(layout, one) == (one, one_path)
    assert containers.resolve(layout, "abc") == (two, two_path)
    assert containers.resolve(layout, "abc1") == (one, one_path)
    assert containers.resolve(layout, "f") == (three, three_path)
    with pytest.raises(InvalidInputError, match=r"multiple IDs found with provided prefix: ab$"):
        containers.resolve(layout, "ab")
    for text in ("abc3", "nobody", "", "..", "../containers", "/", "A"):
        with pytest.raises(ContainerNotFoundError):
            containers.resolve(layout, text)


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_container_whose_maker_was_killed_before_it_took_the_name(layout: Layout, ephemeral: bool) -> None:
    container_id, path = make(layout, "web", ephemeral=ephemeral)
    os.unlink(layout.name("web"))
    assert containers.resolve(layout, "web") == (container_id, path)
    other, _ = make(layout, "web")
    assert containers.resolve(layout, "web")[0] == other, "who has the name comes first"
    containers.delete(layout, container_id, path)
    assert containers.resolve(layout, "web")[0] == other
    with pytest.raises(ContainerNotFoundError):
        containers.resolve(layout, "nobody")


def test_list_live_names_stale_links_until_a_sweep(layout: Layout) -> None:
    one, path = make(layout, "one")
    make(layout, "two")
    os.symlink(path, layout.live_entry(one))
    os.symlink(layout.container("0" * 64), layout.live_entry("0" * 64))
    assert (one, path) in containers.list(layout, all=False)
    assert len(containers.list(layout, all=False)) == 2
    with pytest.raises(ContainerNotFoundError):
        containers.load(layout.container("0" * 64))
    assert len(containers.list(layout)) == 2
    sweep(layout)
    assert os.listdir(layout.live) == [one]


def test_delete_does_not_take_a_name_that_moved_on(layout: Layout) -> None:
    one, path = make(layout, "web")
    os.unlink(layout.name("web"))
    two, _ = make(layout, "web")
    containers.delete(layout, one, path)
    assert containers.resolve(layout, "web")[0] == two
    containers.delete(layout, one, path)  # twice is fine
    assert os.listdir(layout.containers) == [two]


def test_corrupt_record_says_which_file_and_can_be_deleted(layout: Layout) -> None:
    container_id, path = make(layout, "web")
    Path(path, "container.json").write_bytes(b"")
    with pytest.raises(StoreCorruptError) as caught:
        containers.load(path)
    assert caught.value.path == f"{path}/container.json"
    containers.delete(layout, container_id, path)
    assert os.listdir(layout.names) == []


def _dead_token() -> str:
    """The token of a process that is over."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: sender.send(owner.token()))
    process.start()
    token = str(receiver.recv())
    process.join()
    return token


def test_sweep_takes_the_dead_and_spares_the_living(layout: Layout) -> None:
    dead, mine = _dead_token(), owner.token()
    parts = mine.split("-")
    other_machine = "-".join(["f" * 12, *parts[1:]])
    other_boot = "-".join([parts[0], "e" * 12, *parts[2:]])
    other_namespace = "-".join([*parts[:2], "1", *parts[3:]])
    recycled = "-".join([*parts[:4], "1", parts[5]])
    assert owner.is_dead(dead)
    assert not owner.is_dead(mine)
    for place in (layout.tmp, layout.leases):
        for token in (dead, mine, other_machine, other_boot, other_namespace, recycled):
            if place == layout.leases:
                Path(place, token).write_text("sha256:0\n")
            else:
                os.makedirs(f"{place}/{token}/locked/below")
                os.chmod(f"{place}/{token}/locked", 0)
    os.makedirs(f"{layout.trash}/anything/at/all")
    assert sweep(layout) == []
    for place in (layout.tmp, layout.leases):
        assert sorted(os.listdir(place)) == sorted([mine, other_machine, other_namespace])
    assert os.listdir(layout.trash) == []


def test_sweep_removes_what_a_reboot_left_of_ephemeral_containers(layout: Layout) -> None:
    alive, _ = make(layout, "alive", ephemeral=True)
    lost, _ = make(layout, "lost", ephemeral=True)
    away, _ = make(layout, "away", ephemeral=True)
    waiting, waiting_path = make(layout, "waiting", ephemeral=True)
    Path(waiting_path, containers.STAYS).touch()  # made by `create --rm`, not started yet: a reboot does not end it
    parts = owner.token().split("-")
    for container_id, changed, at in ((lost, "e" * 12, 1), (away, "f" * 12, 0), (waiting, "e" * 12, 1)):
        set_owner(layout, container_id, "-".join([*parts[:at], changed, *parts[at + 1 :]]))
    seen = sorted([alive, waiting])
    assert sorted(container_id for container_id, _ in containers.list(layout)) == seen
    for gone in ("lost", lost, lost[:20], "away", away):
        with pytest.raises(ContainerNotFoundError):
            containers.resolve(layout, gone)
    make(layout, "lost")  # the name is free
    assert sweep(layout) == []
    assert sorted(os.listdir(layout.ephemeral)) == sorted([*seen, away]), "another machine's is not ours to judge"
    assert sorted(os.listdir(layout.names)) == ["alive", "lost", "waiting"]


def set_owner(layout: Layout, container_id: str, token: str) -> None:
    link = f"{layout.ephemeral_container(container_id)}/owner"
    os.unlink(link)
    os.symlink(token, link)


def test_sweep_spares_an_ephemeral_container_that_runs(layout: Layout) -> None:
    """Also where another session (another XDG_RUNTIME_DIR) runs it; its maker has ended."""
    container_id, path = make(layout, "web", ephemeral=True)
    set_owner(layout, container_id, _dead_token())
    lock = fsio.try_lock(f"{path}/lock")
    assert sweep(layout) == []
    assert os.listdir(layout.ephemeral) == [container_id]
    os.close(lock)
    assert sweep(layout) == []
    assert os.listdir(layout.ephemeral) == []


def test_the_links_of_what_runs_come_back_with_the_runtime_directory(layout: Layout) -> None:
    running, path = make(layout, "running")
    ephemeral, ephemeral_path = make(layout, "ephemeral", ephemeral=True)
    make(layout, "stopped")
    locks = [fsio.try_lock(f"{directory}/lock") for directory in (path, ephemeral_path)]
    trees.remove_tree(layout.runtime)
    open_store(layout)
    assert sorted(containers.list(layout, all=False)) == sorted([(running, path), (ephemeral, ephemeral_path)])
    for lock in locks:
        os.close(lock)


def _create_and_delete(layout: Layout, rounds: int, results: multiprocessing.queues.Queue[tuple[int, int]]) -> None:
    made = refused = 0
    for number in range(rounds):
        try:
            container_id, path = make(layout, f"name{number % 3}", ephemeral=bool(number % 2))
        except NameInUseError:
            refused += 1
            continue
        found, _ = containers.resolve(layout, f"name{number % 3}")
        assert found == container_id
        containers.delete(layout, container_id, path)
        made += 1
    results.put((made, refused))


def test_sixteen_processes_create_and_remove_the_same_names(layout: Layout) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_create_and_delete, args=(layout, 40, results)) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:  # what they put fits into the pipe: they end before anybody reads
        worker.join()
        assert worker.exitcode == 0
    totals = [results.get(timeout=120) for _ in workers]
    assert sum(made + refused for made, refused in totals) == 16 * 40
    assert sum(made for made, _ in totals) >= 40
    assert containers.list(layout) == []
    assert os.listdir(layout.names) == []
    assert left_over(layout) == []


def test_random_names_avoid_those_in_use(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(names.ADJECTIVES)) == len(names.ADJECTIVES)
    assert len(set(names.SURNAMES)) == len(names.SURNAMES)
    monkeypatch.setattr(names, "draw", lambda attempt: f"quiet_hopper{attempt or ''}")
    make(layout, "quiet_hopper")
    make(layout, "quiet_hopper1")
    assert new_container.random_name(layout) == "quiet_hopper2"


def test_a_random_name_drawn_twice_becomes_another(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    make(layout, "quiet_hopper")
    monkeypatch.setattr(names, "draw", lambda _: "busy_hopper")
    record = {"id": "c" * 64, "name": "quiet_hopper"}
    new_container.create_unnamed(layout, record, {})
    assert record["name"] == "busy_hopper"
    assert containers.resolve(layout, "busy_hopper")[0] == "c" * 64


def test_a_newer_store_is_refused_in_one_sentence(layout: Layout) -> None:
    Path(layout.version).write_text('{"format":7,"min_reader":1,"min_writer":3}')
    open_store(layout, write=False)
    with pytest.raises(StoreVersionError, match=r"^cannot write store: \S+: it has format 7, this pyrun knows"):
        open_store(layout)
    Path(layout.version).write_text("nonsense")
    with pytest.raises(StoreVersionError):
        open_store(layout, write=False)


@pytest.mark.root
def test_root_is_refused_the_store_of_a_user(layout: Layout) -> None:
    os.chown(layout.version, 1000, 1000)
    with pytest.raises(StoreError, match="it belongs to user 1000"):
        open_store(layout)


def test_remove_tree_follows_no_symlink(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(kept)
    (tmp_path / "link").symlink_to(kept)
    trees.remove_tree(str(tree))
    trees.remove_tree(str(tmp_path / "link"))
    trees.remove_tree(str(tmp_path / "absent"))
    assert sorted(os.listdir(tmp_path)) == ["kept"]
    assert (kept / "file").read_text() == "x"


def test_a_name_is_judged_and_changed_under_the_lock(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, a deleter could take the name of the container that has just got it."""
    held: list[bool] = []

    def is_held() -> bool:
        request = fcntl.F_WRLCK.to_bytes(2, sys.byteorder) + bytes(62)
        with open(layout.names_lock, "r+b") as file:
            try:
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, request)
            except BlockingIOError:
                return True
        return False

    real_unlink, real_rename = os.unlink, os.rename

    def unlink(path: str, **options: int) -> None:
        if path.startswith(layout.names + "/"):
            held.append(is_held())
        real_unlink(path, **options)

    def rename(source: str, target: str) -> None:
        if target.startswith(layout.names + "/"):
            held.append(is_held())
        real_rename(source, target)

    os.symlink("../containers/gone", layout.name("web"))
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(os, "rename", rename)
    container_id, path = make(layout, "web")
    containers.delete(layout, container_id, path)
    os.symlink("../containers/gone", layout.name("web"))
    sweep(layout)
    assert held == [True, True, True]


def _deep_tree(path: str, levels: int) -> None:
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_deep_directories_are_left_to_the_remover(tmp_path: Path) -> None:
    """A container that makes directories to the depth that a path allows must not make every later rm fail."""
    tree = str(tmp_path / "tree")
    _deep_tree(tree, 2000)
    seen: list[str] = []
    trees.register_remover(seen.extend)
    try:
        trees.remove_tree(tree)
    finally:
        trees.register_remover(None)
    assert seen == [tree]
    with pytest.raises(StoreError, match="too many levels of directories"):
        trees.remove_tree(tree)
    subprocess.run(["rm", "-rf", tree], check=True)


def test_sweep_goes_on_where_a_tree_cannot_be_removed(layout: Layout) -> None:
    def refuse(paths: Sequence[str]) -> None:
        raise FeatureMissingError("user namespaces", "forbidden since")

    _deep_tree(f"{layout.trash}/deep", 300)
    os.mkdir(f"{layout.tmp}/{_dead_token()}")
    trees.register_remover(refuse)
    try:
        assert [type(failure) for failure in sweep(layout)] == [FeatureMissingError]
    finally:
        trees.register_remover(None)
    assert os.listdir(layout.tmp) == []
    assert os.listdir(layout.trash) == ["deep"]


def rename(layout: Layout, container_id: str, new: str) -> None:
    record_change.rename(layout, container_id, layout.container(container_id), new)


def test_rename(layout: Layout) -> None:
    container_id, path = make(layout, "old")
    rename(layout, container_id, "new")
    assert os.listdir(layout.names) == ["new"]
    assert containers.resolve(layout, "new") == (container_id, path)
    assert containers.load(path)["name"] == "new"
    assert left_over(layout) == []
    make(layout, "old")
    with pytest.raises(NameInUseError):
        rename(layout, container_id, "old")
    with pytest.raises(InvalidInputError):
        rename(layout, container_id, "new")
    with pytest.raises(InvalidInputError):
        rename(layout, container_id, "no/slash")
    assert sorted(os.listdir(layout.names)) == ["new", "old"]


def test_rename_of_a_removed_one_leaves_no_name(layout: Layout) -> None:
    container_id, path = make(layout, "old")
    containers.delete(layout, container_id, path)
    with pytest.raises(ContainerNotFoundError):
        rename(layout, container_id, "new")
    assert os.listdir(layout.names) == []
    assert left_over(layout) == []


@pytest.mark.parametrize(("call", "said"), [("symlink", "old"), ("rename", "old"), ("unlink", "new")])
def test_rename_killed_before_a_step(layout: Layout, call: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, has one name in its record, and neither name is lost to others for ever."""
    container_id, path = make(layout, "old")

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            patched.setattr(os, "unlink", killed)  # nothing is cleaned up either
            raise Killed

        patched.setattr(os, call, killed)
        with pytest.raises(Killed):
            rename(layout, container_id, "new")
    assert containers.load(path)["name"] == said
    assert containers.resolve(layout, said) == (container_id, path)
    other = {"old": "new", "new": "old"}[said]
    second, _ = make(layout, other)
    assert containers.resolve(layout, other)[0] == second
    assert containers.resolve(layout, said)[0] == container_id
    rename(layout, container_id, "third")
    assert sorted(os.listdir(layout.names)) == sorted([other, "third"])


def _rename_in_process(root: str, runtime: str, container_id: str, name: str) -> None:
    layout = Layout(root, runtime)
    for number in range(20):
        try:
            rename(layout, container_id, f"{name}{number % 3}")
        except (NameInUseError, InvalidInputError):
            continue


def test_many_renames_at_once(layout: Layout) -> None:
    """Two processes for each of three containers, all after the same names: one name each, each its own."""
    made = [make(layout, f"start{number}")[0] for number in range(3)]
    processes = [
        multiprocessing.Process(target=_rename_in_process, args=(layout.root, layout.runtime, container_id, "name"))
        for container_id in (*made, *made)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    held = {name: containers.resolve(layout, name)[0] for name in os.listdir(layout.names)}
    assert {containers.load(layout.container(i))["name"]: i for i in made} == held


def test_many_trees_are_removed_at_once_and_what_stays_is_told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for number in range(20):
        path = Path(layout.trash, f"grave{number}")
        (path / "upper").mkdir(parents=True)
        (path / "upper" / "file").touch()
        paths.append(str(path))
    real = trees._remove

    def refused(path: str) -> None:
        if path.endswith("grave7"):
            raise PermissionError(13, "Permission denied", path)
        real(path)

    monkeypatch.setattr(trees, "_remove", refused)
    with pytest.raises(StoreError, match="grave7"):
        trees.remove_trees(paths)
    assert os.listdir(layout.trash) == ["grave7"]
