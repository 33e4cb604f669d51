"""A program is started in the engine namespace while other threads take and leave every lock of libc."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pyrun.runtime import engine_ns
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = requires("userns", "native", "unprivileged")

STARTS = 100


def test_no_start_waits_for_a_lock_of_another_thread(tmp_path: Path) -> None:
    engine = engine_ns.engine_map()
    is_over = threading.Event()
    codes: list[int] = []

    def disturb() -> None:
        # Starting and joining threads holds the lock that setresuid(3) would take (pthread_create(3)'s list of stacks).
        while not is_over.is_set():
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    def start() -> None:
        for _ in range(STARTS):
            codes.append(engine_ns.spawn_in(str(tmp_path / "engine"), engine, ["/bin/true"]).wait())

    disturbers = [threading.Thread(target=disturb, daemon=True) for _ in range(3)]
    starters = [threading.Thread(target=start, daemon=True) for _ in range(2)]
    for thread in (*disturbers, *starters):
        thread.start()
    for thread in starters:
        thread.join(60)
    is_over.set()
    assert codes == [0] * STARTS * 2
