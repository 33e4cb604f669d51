"""`import`: a root file system in every packing, from a file, a pipe and a URL, is what was exported."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pyrun.engine.image_inspect import image_inspect
from pyrun.engine.import_image import Options, import_image
from pyrun.errors import InvalidInputError, RegistryError
from pyrun.store.layout import Layout
from tests.integration.test_commit import essence, tar_of
from tests.support import archives
from tests.support.features import requires
from tests.support.store_images import contents, directories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.boxes import Box
    from tests.support.catalogue import Catalogue

pytestmark = requires("userns", "overlay")


@contextmanager
def serving(data: bytes, *, promised: int = 0) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/archive")
            elif self.path == "/archive":
                self.send_response(200)
                self.send_header("Content-Length", str(promised or len(data)))
            else:
                self.send_response(404)
            self.end_headers()
            if self.path == "/archive":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_export_and_import_keep_everything(box: Box, images: Catalogue) -> None:
    """Owners, modes, hard links, xattrs, capabilities: the archive of the imported image is that of its origin."""
    pyrun = box.pyrun
    pyrun.ok("create", "--name", "first", "--network", "none", images.rich, "true")
    exported = subprocess.run(
        [*pyrun.program, "export", "first"], env=pyrun.environment, capture_output=True, check=True
    ).stdout
    words = ["import", "-c", 'CMD ["cat", "/srv/data/seed"]', "-c", "ENV A=b", "-m", "by hand", "-", "again:1"]
    done = subprocess.run([*pyrun.program, *words], env=pyrun.environment, input=exported, capture_output=True)
    assert done.returncode == 0, done.stderr
    pyrun.ok("create", "--name", "second", "--network", "none", "again:1")
    assert essence(tar_of(box, "export", "second")) == essence(tar_of(box, "export", "first"))
    (shown,) = json.loads(pyrun.ok("image", "inspect", "again:1"))
    assert shown["Id"] == done.stdout.decode().strip()
    assert (shown["Config"]["Env"], shown["Comment"]) == (["A=b"], "by hand")
    assert box.run(image="again:1") == "from the image"


def test_every_packing_and_place(shared_box: Box, tmp_path: Path) -> None:
    pyrun, layout = shared_box.pyrun, Layout.default(environ=shared_box.pyrun.environment)
    data = archives.tar([("etc/", b""), ("etc/name", b"imported\n")])
    made = []
    for name, pack in archives.PACKERS.items():
        (tmp_path / name).write_bytes(pack(data))
        made.append(import_image(layout, str(tmp_path / name), Options(reference="place:1")))
    with serving(archives.PACKERS["gzip"](data)) as url:
        made.append(pyrun.ok("import", "--platform", "linux/arm64", f"{url}/moved"))
        with pytest.raises(RegistryError, match="the server answers 404"):
            import_image(layout, f"{url}/none", Options())
    for image_id in made:
        assert image_inspect(layout, image_id)["RootFS"]["Layers"] == [f"sha256:{archives.hex_of(data)}"]
    shown = image_inspect(layout, made[-1])
    assert (shown["Architecture"], shown["RepoTags"]) == ("arm64", [])
    assert shown["Comment"] == f"Imported from {url}/moved"
    assert image_inspect(layout, "place:1")["Id"] == made[-2]
    made.append(pyrun.ok("import", "-q", "--arch", "arm", "--variant", "v6", str(tmp_path / "gzip")))
    assert image_inspect(layout, made[-1])["Pyrun"]["Platform"] == "linux/arm/v6"
    assert "together" in pyrun.fails(1, "import", "--os", "linux", "--platform", "linux/arm", str(tmp_path / "gzip"))
    assert "--arch" in pyrun.fails(1, "import", "--variant", "v6", str(tmp_path / "gzip"))
    pyrun.ok("rmi", "-f", *made)


def test_what_cannot_be_imported(shared_box: Box, tmp_path: Path) -> None:
    layout = Layout.default(environ=shared_box.pyrun.environment)
    good = archives.tar([("x", b"x" * 3000)])
    cases = {
        "cut": (good[:1500], "cannot import"),
        "cut.gz": (archives.PACKERS["gzip"](good)[:-9], "cannot be decompressed (gzip)"),
        "bad.bz2": (archives.PACKERS["bzip2"](good)[:-9] + bytes(9), "cannot be decompressed (bzip2)"),
        "text": (b"root:x:0:0::/:/bin/sh\n" * 40, "cannot import"),
        "empty": (b"", "it is empty"),
        "escape": (archives.tar([("../x", b"x")]), "../x"),
    }
    before = contents(layout), directories(layout)
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInputError, match=re.escape(words)):
            import_image(layout, str(tmp_path / name), Options(reference="bad:1"))
    for source, options, words in (
        (str(tmp_path / "none"), Options(), "no such file"),
        (str(tmp_path), Options(), "it is a directory"),
        ("http://ann:secret@127.0.0.1:1/x", Options(), "the URL has a user or password"),
        (str(tmp_path / "cut"), Options(changes=["FOO x"]), "is not a valid change command"),
        (str(tmp_path / "cut"), Options(changes=["STOPSIGNAL none"]), "none"),
        (str(tmp_path / "cut"), Options(platform="a/b/c/d"), "invalid platform"),
        (str(tmp_path / "cut"), Options(reference="BAD"), "must be lowercase"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            import_image(layout, source, options)
    with serving(good, promised=len(good) + 10) as url, pytest.raises(RegistryError, match="cannot fetch"):
        import_image(layout, f"{url}/archive", Options())
    with pytest.raises(RegistryError, match="connection refused"):
        import_image(layout, f"{url}/archive", Options())
    assert (contents(layout), directories(layout)) == before
