"""Where a target starts from: the tables that the tests compare with, and one example of each kind."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import tar_build as tar

_CORPORA = Path(__file__).parents[1] / "corpora"


def of(target: str) -> list[bytes]:
    """Return the seeds of one target; every target has some."""
    if target.startswith("unpack-"):
        members = tar_members()
        return [member + tar.END for member in members] + [b"".join(members) + tar.END]
    return [text.encode() for text in _TEXTS[target]()]


def tar_members() -> list[bytes]:
    """Return members of every kind that the archive reader knows."""
    long_name = b"n" * 150 + b"/f\0"
    old_map = {386: b"%011o\0%011o\0" % (0, 2), 483: b"%011o\0" % 700}
    return [
        tar.directory(b"d", 0o1777),
        tar.file(b"d/f", b"data" * 300, mode=0o4755),
        tar.symlink(b"s", b"d"),
        tar.file(b"s/x"),
        tar.hardlink(b"h", b"d/f"),
        tar.header(b"p", b"6"),
        tar.header(b"null", b"3", device=(1, 3)),
        tar.file(b"d/.wh.gone"),
        tar.file(b"d/.wh..wh..opq"),
        tar.file(b".wh.d"),
        tar.file(b"d", b"file"),
        tar.directory(b"d"),
        tar.pax({b"path": b"p" * 200 + b"/x", b"mtime": b"1.5", b"SCHILY.xattr.user.a": b"1"})
        + tar.file(b"short", b"x"),
        tar.header(b"L", b"L", size=len(long_name)) + tar.pad(long_name) + tar.file(b"short2", b"y"),
        tar.pax({b"GNU.sparse.size": b"9000", b"GNU.sparse.map": b"0,1,8000,1"}) + tar.file(b"sparse", b"ab"),
        tar.pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"9"})
        + tar.file(b"sparse1", tar.pad(b"1\n3\n2\n") + b"ab"),
        tar.pax({b"comment": b"7"}, b"g"),
        tar.symlink(b"up", b"../outside"),
        tar.header(b"old", b"S", size=2, magic=b"ustar  \0", extra=old_map) + tar.pad(b"ab"),
        tar.pax({b"LIBARCHIVE.xattr.user.b": b"AAEC", b"size": b"3"}) + tar.file(b"z", b"abc"),
    ]


def _table(name: str) -> Any:
    return json.loads((_CORPORA / name).read_text())


def _documents(kind: str) -> list[str]:
    return [row["json"] for row in _table("image-spec.json") if row["kind"] == kind]


_TEXTS: dict[str, Callable[[], list[str]]] = {
    "reference": lambda: [row["input"] for row in _table("references.json")],
    "manifest": lambda: _documents("manifest") + _documents("index"),
    "config": lambda: _documents("config"),
    "platform": lambda: ["linux/amd64", "linux/arm64/v8", "arm", "linux/arm/v7", "windows(10.0.1)/amd64", "aarch64"],
    "document": lambda: ['{"a":[1,2.5e3,null,true,"\\u00e9\\ud83d\\ude00"]}', "[[[[]]]]", '"\\\\\\""', "-0.1e-9"],
    "headers": lambda: [
        'Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push"', 'Basic realm="x y"',
        "bytes 0-99/100", "bytes 5-9/*", "120", "Wed, 21 Oct 2026 07:28:00 GMT", "/v2/a/blobs/uploads/1?_state=x",
        "https://other.example:8443/x?y=z", "//other/x", "../up",
    ],
    "changes": lambda: [
        'CMD ["a","b"]', "CMD a b", 'ENTRYPOINT ["x"]', "ENV a=b c='d e' f=\"g\"", "ENV a b c",
        "EXPOSE 80/tcp 90-95/udp 8", "USER a:b", "WORKDIR /a\0WORKDIR ../x", 'VOLUME ["/v","/w"]', "VOLUME /v /w",
        "STOPSIGNAL TERM", "LABEL a=b c=d",
        "HEALTHCHECK --interval=5s --retries=3 --timeout=1m --start-period=1h CMD x y", "HEALTHCHECK NONE",
        'HEALTHCHECK CMD ["x"]', "ONBUILD RUN x", "ENV a=b\0ENV c=$a\0ENV d=${a}x",
    ],
    "signature_policy": lambda: [
        '{"default":[{"type":"reject"}],"transports":{"docker":{"registry.example:5000/a":[{"type":"sigstoreSigned",'
        '"keyData":"QUFB","signedIdentity":{"type":"matchRepository"}}]},"dir":{"/a":[{"type":"reject"}]}}}',
        '{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{"*.example.com":[{"type":"signedBy",'
        '"keyType":"GPGKeys","keyPath":"/k"}]},"oci":{"/a:b":[{"type":"reject"}]},"docker-archive":{"":'
        '[{"type":"insecureAcceptAnything"}]}}}',
        '{"default":[{"type":"sigstoreSigned","keyPaths":["/k"],"signedIdentity":{"type":"remapIdentity",'
        '"prefix":"registry.example:5000","signedPrefix":"b.example/x"}}]}',
        '{"default":[{"type":"sigstoreSigned","keyDatas":["QQ=="],"signedIdentity":{"type":"exactReference",'
        '"dockerReference":"busybox:1"}},{"type":"sigstoreSigned","fulcio":{}}]}',
    ],
    "claim": lambda: [
        _claim("registry.example/a:1"), _claim("busybox@sha256:" + "0" * 64), _claim(""),
        _claim("a").replace('{"critical"', '{"optional":{"creator":"x","timestamp":1.0},"critical"', 1)[:-17] + "}",
    ],
    "key_file": lambda: [
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        "-----END PUBLIC KEY-----\n",
        *(_private_key(*cost) for cost in ((2, 1, 1), (32768, 8, 1), (1 << 30, 8, 1))),
    ],
    "registries": lambda: [
        'unqualified-search-registries = ["a.example"]\nshort-name-mode = "enforcing"\n'
        '[aliases]\n"b" = "c.example/b"\n',
        '[[registry]]\nprefix = "*.b.example"\ninsecure = true\n[[registry.mirror]]\nlocation = "m.example:5000/x"\n'
        'pull-from-mirror = "digest-only"\n',
        '[[registry]]\nprefix = "docker.io/library"\nlocation = "l.example/y"\nmirror-by-digest-only = true\n'
        '[[registry.mirror]]\nlocation = "m.example"\ninsecure = true\n',
        'credential-helpers = ["containers-auth.json"]\n'
        '[[registry]]\nlocation = "registry.example:5000"\nblocked = true\n',
    ],
    "auth_file": lambda: [
        '{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"r.example/a":{"username":"u","password":"p"}}}',
        '{"auths":{"r.example":{"auth":"YTo=","identitytoken":"t"}},'
        '"credsStore":"x","credHelpers":{"h.example":"y"}}',
        '{"auths":{"r.example":{"registrytoken":"t"}},"HttpHeaders":{"a":"b"}}',
        '{"credHelpers":{"registry.example":"z"}}',
    ],
    "template": lambda: [case[0] for case in _table("go-templates.json")["cases"]],
}  # fmt: skip


def _claim(name: str) -> str:
    critical = {
        "identity": {"docker-reference": name}, "image": {"docker-manifest-digest": "sha256:" + "0" * 64},
        "type": "cosign container image signature",
    }  # fmt: skip
    return json.dumps({"critical": critical, "optional": None})


def _private_key(n: int, r: int, p: int) -> str:
    document = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": r, "p": p}, "salt": "AAAA"},
        "cipher": {"name": "nacl/secretbox", "nonce": "A" * 32},
        "ciphertext": "A" * 64,
    }
    kind = "ENCRYPTED COSIGN PRIVATE KEY"
    body = b64encode(json.dumps(document).encode()).decode()
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"
