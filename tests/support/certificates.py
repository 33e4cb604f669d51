"""An authority of its own, and certificates that it vouches for, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A CA in a directory; ``certificate`` is its file."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.certificate = directory / "ca.crt"
        self._key = directory / "ca.key"
        _openssl(
            "req", "-x509", "-subj", f"/CN={name}", "-days", "2", *_NEW_KEY, "-keyout", self._key,
            "-out", self.certificate, "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip

    def issue(self, name: str, *hosts: str, days: int = 2) -> tuple[str, str]:
        """Make a certificate (for hosts ``DNS:…`` and ``IP:…``, or a client's); gives its file and its key's."""
        certificate, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        _openssl("req", "-new", "-subj", f"/CN={name}", *_NEW_KEY, "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={','.join(hosts)}\n" if hosts else "extendedKeyUsage=clientAuth\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
            "-days", str(days), "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return str(certificate), str(key)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
