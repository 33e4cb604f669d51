"""Debian's docker-registry on a free loopback port, for as long as a ``with`` block lasts."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.contextmanager
def running(directory: Path) -> Iterator[str]:
    """Start the registry with its data in ``directory``; give its address once it listens."""
    program = shutil.which("docker-registry")
    if program is None:
        raise SystemExit("bench: docker-registry is not installed: sudo apt install docker-registry")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = directory / "registry.yml"
    config.write_text(_CONFIG.format(data=directory / "registry", port=port))
    log = directory / "registry.log"
    with log.open("wb") as out, subprocess.Popen([program, "serve", str(config)], stdout=out, stderr=out) as process:
        try:
            _wait(process, port, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise SystemExit(f"bench: docker-registry did not start: {log.read_text(errors='replace')[-500:]}")
