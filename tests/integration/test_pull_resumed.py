"""A blob that is half there is never fetched again, whoever has left it: an earlier pull, a dead one, one beside us."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import namespace
from pyrun.engine.system_df import system_df
from pyrun.errors import DigestMismatchError, RegistryUnreachableError, SizeMismatchError
from pyrun.registry.retry import Retry
from pyrun.store import partials
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import Answer, Handler, HostileRegistry, blob, digest_of, document, status
from tests.support.store_images import FORM, Image, contents, fetch, new_layout, read_layer, tar_of

BYTES = random.Random(2)
IMAGE = Image(tar_of(big=BYTES.randbytes(3_000_000)), tar_of(other=BYTES.randbytes(200_000)))
BIG, OTHER = IMAGE.layers
BIG_DIGEST = digest_of(BIG)


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as found:
        serve(found)
        yield found


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(
        Retry, "pause", lambda retry, failures, after=None: failures < retry.tries
    )  # no seconds between
    return new_layout(tmp_path)


def serve(registry: HostileRegistry, image: Image = IMAGE, name: str = "x", big: Answer | None = None) -> str:
    registry.on(f"/v2/{name}/manifests/1", document(image.manifest)[1])
    for data in (image.config, *image.layers):
        registry.on(f"/v2/{name}/blobs/{digest_of(data)}", blob(data))
    if big is not None:
        registry.on(f"/v2/{name}/blobs/{BIG_DIGEST}", big)
    return f"{registry.domain}/{name}:1"


def keep(layout: Layout, data: bytes) -> None:
    """Leave bytes of the big layer, as a pull does that was killed."""
    Path(layout.partial(BIG_DIGEST)).write_bytes(data)


def is_whole(layout: Layout) -> bool:
    assert os.listdir(layout.partials) == os.listdir(layout.tmp) == []
    assert Path(layout.blob(BIG_DIGEST)).read_bytes() == BIG
    assert os.stat(layout.blob(BIG_DIGEST)).st_mode & 0o777 == 0o444
    return read_layer(layout, digest_of(IMAGE.tars[0]), "big") in IMAGE.tars[0]


def ranges(registry: HostileRegistry) -> list[str | None]:
    return [seen.headers.get("range") for seen in registry.asked(BIG_DIGEST)]


@pytest.mark.parametrize("size", [1, 700_000, len(BIG) - 1])
def test_what_an_earlier_pull_has_left_is_not_fetched_again(
    registry: HostileRegistry, layout: Layout, size: int
) -> None:
    keep(layout, BIG[:size])
    fetch(layout, f"{registry.domain}/x:1")
    assert ranges(registry) == [f"bytes={size}-{len(BIG) - 1}"]
    assert is_whole(layout)


def test_a_whole_blob_is_not_asked_for(registry: HostileRegistry, layout: Layout) -> None:
    keep(layout, BIG)
    fetch(layout, f"{registry.domain}/x:1")
    assert ranges(registry) == []
    assert is_whole(layout)


@pytest.mark.parametrize("bad", [bytes(700_000), BIG[:600_000] + bytes(100_000), BIG[:-4] + bytes(4), BIG + b"more"])
def test_bad_bytes_are_fetched_anew(registry: HostileRegistry, layout: Layout, bad: bytes) -> None:
    keep(layout, bad)
    fetch(layout, f"{registry.domain}/x:1")
    assert ranges(registry)[-1] is None
    assert is_whole(layout)


def test_bad_bytes_of_the_registry_too(registry: HostileRegistry, layout: Layout) -> None:
    keep(layout, bytes(700_000))
    serve(registry, big=blob(bytes(len(BIG))))
    with pytest.raises(DigestMismatchError, match=BIG_DIGEST):
        fetch(layout, f"{registry.domain}/x:1")
    assert not os.path.exists(layout.partial(BIG_DIGEST))
    serve(registry)
    fetch(layout, f"{registry.domain}/x:1")
    assert is_whole(layout)


def test_a_server_without_ranges(registry: HostileRegistry, layout: Layout) -> None:
    keep(layout, BIG[:700_000])
    serve(registry, big=blob(BIG, ranges=False))
    fetch(layout, f"{registry.domain}/x:1")
    assert is_whole(layout)


def test_a_server_that_refuses_the_range(registry: HostileRegistry, layout: Layout) -> None:
    def refuse(handler: Handler) -> None:
        answer = status(416, Content_Range=f"bytes */{len(BIG)}") if handler.headers.get("Range") else blob(BIG)
        answer(handler)

    keep(layout, BIG[:700_000])
    serve(registry, big=refuse)
    fetch(layout, f"{registry.domain}/x:1")
    assert is_whole(layout)


def test_a_server_whose_blob_has_changed(registry: HostileRegistry, layout: Layout) -> None:
    keep(layout, BIG[:700_000])
    changed = bytes(len(BIG) + 5)
    serve(registry, big=blob(changed))
    with pytest.raises(SizeMismatchError):
        fetch(layout, f"{registry.domain}/x:1")


def test_a_registry_that_goes_away_and_comes_back(registry: HostileRegistry, layout: Layout) -> None:
    serve(registry, big=blob(BIG, cut=100_000))
    with pytest.raises(RegistryUnreachableError, match="broke off"):
        fetch(layout, f"{registry.domain}/x:1")
    assert os.stat(layout.partial(BIG_DIGEST)).st_size == 500_000
    serve(registry)
    fetch(layout, f"{registry.domain}/x:1")
    assert ranges(registry)[-1] == f"bytes=500000-{len(BIG) - 1}"
    assert is_whole(layout)


@pytest.mark.parametrize("seed", range(3))
def test_no_byte_twice_whatever_breaks_off(registry: HostileRegistry, layout: Layout, seed: int) -> None:
    """Connections end at random places; so do pulls, when they have had enough of it.

    Of one layer: what is on its way to others, when a pull gives up, is lost.
    """
    choose = random.Random(seed)

    def unsteady(handler: Handler) -> None:
        blob(BIG, cut=choose.randrange(1, 500_000))(handler)

    serve(registry, big=unsteady)
    for _ in range(60):
        try:
            fetch(layout, f"{registry.domain}/x:1")
            break
        except RegistryUnreachableError:
            continue
    assert is_whole(layout)
    assert len(ranges(registry)) > 5
    assert len(registry.asked("manifests")) > 1
    assert registry.bytes_served <= 1.05 * sum(map(len, IMAGE.layers))


# Two at once


def in_process(layout: Layout, reference: str) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=fetch, args=(layout, reference))
    process.start()
    return process


class Gate:
    """Answers with half a blob, tells so, and goes on with the rest when it may."""

    def __init__(self, data: bytes) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._data = data

    def __call__(self, handler: Handler) -> None:
        if handler.headers.get("Range"):
            return blob(self._data)(handler)
        half = len(self._data) // 2
        handler.send(200, self._data[:half], Content_Length=str(len(self._data)))
        handler.wfile.flush()
        self.reached.set()
        assert self.opened.wait(60)
        return handler.write(self._data[half:])


def wait_for(condition: Callable[[], bool]) -> None:
    """The half that was sent is on its way through a socket: nothing tells when it is in the file."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("it never came true")


def half_is_kept(layout: Layout) -> Callable[[], bool]:
    path = layout.partial(BIG_DIGEST)
    return lambda: os.path.exists(path) and os.stat(path).st_size >= len(BIG) // 2 - partials.CHUNK_BYTES


def pull_beside(layout: Layout, reference: str, **options: Any) -> tuple[threading.Thread, threading.Event, list[str]]:
    """Pull in a thread; the event is set when it waits for another pull."""
    waits, events = threading.Event(), list[str]()

    def hear(event: str, what: str, number: int) -> None:
        if what == BIG_DIGEST:
            events.append(event)
            if event == "waiting":
                waits.set()

    thread = threading.Thread(target=fetch, args=(layout, reference), kwargs={"progress": hear, **options})
    thread.start()
    return thread, waits, events


def test_two_pulls_of_a_layer_fetch_it_once(registry: HostileRegistry, layout: Layout) -> None:
    gate = Gate(BIG)
    first, second = serve(registry, big=gate), serve(registry, name="y")
    process = in_process(layout, first)
    assert gate.reached.wait(60)
    thread, waits, events = pull_beside(layout, second)
    assert waits.wait(60)
    gate.opened.set()
    process.join()
    thread.join()
    assert process.exitcode == 0
    assert len(registry.asked(BIG_DIGEST)) == 1
    assert events[0] == "waiting"
    assert is_whole(layout)


def test_who_waits_takes_over_from_the_dead(registry: HostileRegistry, layout: Layout) -> None:
    gate = Gate(BIG)
    first, second = serve(registry, big=gate), serve(registry, name="y")
    process = in_process(layout, first)
    assert gate.reached.wait(60)
    thread, waits, events = pull_beside(layout, second)
    assert waits.wait(60)
    wait_for(half_is_kept(layout))
    process.kill()
    process.join()
    thread.join()
    gate.opened.set()
    dead, taken_over = registry.asked(BIG_DIGEST)
    assert dead.headers.get("range") is None
    assert int(taken_over.headers["range"][6:].partition("-")[0]) >= len(BIG) // 2 - partials.CHUNK_BYTES
    assert "start" in events
    sweep(layout)
    assert is_whole(layout)


def test_shared_layers_in_different_order_do_not_block(registry: HostileRegistry, layout: Layout) -> None:
    tars = [tar_of(**{f"file{number}": BYTES.randbytes(20_000)}) for number in range(8)]
    names = [serve(registry, Image(*(tars if way else tars[::-1])), name=f"way{way}") for way in (0, 1)]
    pulls = [in_process(layout, name) for name in names for _ in range(2)]
    for process in pulls:
        process.join()
    assert [process.exitcode for process in pulls] == [0] * 4
    for layer in Image(*tars).layers:
        assert len(registry.asked(digest_of(layer))) == 1
    assert os.listdir(layout.partials) == []


def test_an_interrupt_leaves_the_other_pull_alone(registry: HostileRegistry, pyrun: CommandLine) -> None:
    """Ctrl-C ends a pull whose registry says nothing for a while; what has come is kept, who waited goes on with it."""
    gate = Gate(BIG)
    first, second = serve(registry, big=gate), serve(registry, name="y")
    layout = Layout.default(environ=pyrun.environment)
    process = pyrun.popen("pull", first)
    assert gate.reached.wait(60)
    thread, waits, _ = pull_beside(layout, second, form=namespace.form(), spawn=namespace.spawner(layout))
    assert waits.wait(60)
    wait_for(half_is_kept(layout))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130  # a registry may be silent for 60 seconds
    thread.join()
    gate.opened.set()
    assert len(registry.asked(BIG_DIGEST)) == 2
    assert int((ranges(registry)[1] or "")[6:].partition("-")[0]) >= len(BIG) // 2 - partials.CHUNK_BYTES
    assert os.listdir(layout.tmp) == os.listdir(layout.partials) == []
    pyrun.ok("rmi", second)


# What is kept


def test_what_nobody_comes_back_for_is_swept(registry: HostileRegistry, layout: Layout) -> None:
    keep(layout, BIG[:1000])
    sweep(layout)
    assert os.path.exists(layout.partial(BIG_DIGEST))
    old = time.time() - partials.STALE_SECONDS - 1
    os.utime(layout.partial(BIG_DIGEST), (old, old))
    held = partials.claim(layout, BIG_DIGEST, len(BIG))
    assert held is not None
    sweep(layout)
    assert os.path.exists(layout.partial(BIG_DIGEST)), "somebody is at work on it"
    held.close()
    sweep(layout)
    assert os.listdir(layout.partials) == []


def test_half_fetched_blobs_are_counted(registry: HostileRegistry, layout: Layout) -> None:
    before = system_df(layout).totals[0]
    keep(layout, BIG[:1_000_000])
    after = system_df(layout).totals[0]
    assert after.size - before.size >= 1_000_000
    assert after.reclaimable - before.reclaimable >= 1_000_000


def test_a_full_disk_keeps_nothing(registry: HostileRegistry, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrun.errors import StorageFullError
    from pyrun.store import fsio

    def full(path: str) -> None:
        raise StorageFullError("no space", path=path)

    before = contents(layout).keys()
    monkeypatch.setattr(fsio, "sync_file_system", full)
    with pytest.raises(StorageFullError):
        fetch(layout, f"{registry.domain}/x:1", form=FORM)
    assert contents(layout).keys() == before
