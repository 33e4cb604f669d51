"""What is no archive and what is no registry: one sentence that names it and says why, and nothing is left."""

from __future__ import annotations

import gzip
import http.server
import lzma
import random
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from pyrun.engine.import_image import Options, import_image
from pyrun.engine.load import load
from pyrun.errors import InvalidInputError
from pyrun.oci.platform import host
from pyrun.store import index
from tests.support import archives
from tests.support.features import requires
from tests.support.store_images import Image, new_layout, tar_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "overlay")
IMAGE = Image(tar_of(file=b"x"), architecture=host().architecture)
CUT = lzma.compress(random.Random(1).randbytes(3_000))[:50]
ENDED = "Compressed file ended before the end-of-stream marker was reached"


class _WebServer(http.server.BaseHTTPRequestHandler):
    """Says 200 to everything, with a page."""

    def do_GET(self) -> None:
        body = b"" if self.command == "HEAD" else b"<html>please log in</html>"
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _WebServer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _bad_files(directory: Path) -> None:
    (directory / "empty").touch()
    (directory / "text").write_text("root:x:0:0\n" * 100)
    (directory / "text.gz").write_bytes(gzip.compress(b"root:x:0:0\n" * 100))
    (directory / "none.gz").write_bytes(gzip.compress(b""))
    (directory / "cut.xz").write_bytes(CUT)
    with zipfile.ZipFile(directory / "a.zip", "w") as file:
        file.writestr("a", "b" * 1000)
    (directory / "directory").mkdir()


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    layout = new_layout(tmp_path / "store")
    tar, unreadable = "it is no tar archive", "it cannot be read: input/output error"
    expected = {
        "empty": ("it is empty", "it is empty"),
        "text": (tar, tar),
        "text.gz": (tar, tar),
        "none.gz": ("it is empty", "nothing comes out of it (gzip): it is empty, or cut short"),
        "cut.xz": (f"it cannot be decompressed: {ENDED}", f"it cannot be decompressed (xz): {ENDED}"),
        "a.zip": (tar, tar),
        "directory": ("it has neither index.json nor manifest.json: it holds no image", "it is a directory"),
        "/dev/null": ("it is empty", "it is empty"),
        "/proc/self/mem": (unreadable, unreadable),
    }
    for name, (of_load, of_import) in expected.items():
        with pytest.raises(InvalidInputError) as caught:
            load(layout, name)
        assert caught.value.message == f"invalid image archive: {name}: {of_load}"
        with pytest.raises(InvalidInputError) as caught:
            import_image(layout, name, Options())
        assert caught.value.message == f"cannot import: {name}: {of_import}"
    for name, reason in {
        "ftp://host/x": "ftp://host/x: not an http or https URL", "": "'': no such file or directory",
    }.items():  # fmt: skip
        with pytest.raises(InvalidInputError) as caught:
            import_image(layout, name, Options())
        assert caught.value.message == f"cannot import: {reason}"
    assert not index.entries(layout)


def test_archives_from_a_pipe(pyrun: CommandLine) -> None:
    for verb, what in ((["load"], "invalid image archive"), (["import", "-"], "cannot import")):
        done = pyrun(*verb, input="no archive" * 100)
        shown = f"pyrun: {what}: standard input: it is no tar archive"
        assert (done.returncode, done.stderr.splitlines()[0]) == (1, shown)
    assert pyrun.fails(1, "import", "http://") == "pyrun: invalid URL: 'http://': it names no host\n"


def test_a_document_of_an_archive_that_is_none(pyrun: CommandLine) -> None:
    directory = pyrun.home / "layout"
    directory.mkdir()
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text("{")
    assert pyrun.fails(1, "load", "-i", "layout").startswith("pyrun: invalid image archive: layout: invalid ")


def test_no_registry(pyrun: CommandLine, web: str) -> None:
    """A web server that says yes to all has nothing, takes nothing, and is given no password."""
    archive = pyrun.home / "image.tar"
    archive.write_bytes(archives.tar(archives.podman((IMAGE, ["here:1"]))))
    pyrun.ok("load", "-q", "-i", str(archive))
    name, page = f"{web}/app:1", f"pyrun: no registry: {web}: it answers with a web page, asked for "
    for words in (
        ["pull", name], ["push", "here:1", name], ["registry", "ls", f"{web}/app"],
    ):  # fmt: skip
        error = pyrun.fails(1, *words)
        assert next(line for line in error.splitlines() if line.startswith("pyrun: ")).startswith(page)
    done = pyrun("login", "-u", "me", "--password-stdin", web, input="secret")
    assert done.returncode == 1
    assert page in done.stderr
    assert not (pyrun.home / ".docker").exists()
    assert pyrun.fails(125, "create", name).splitlines()[1].startswith(page)
