"""What reads the bytes of strangers, each as a function of bytes: it takes them or refuses them, and nothing else.

Run by scripts/fuzz (atheris, guided by coverage, for as long as one likes) and, over the kept corpus and some mutations
of it, by tests/unit/test_fuzz_targets.py. The archive reader is C and has its own: native/fuzz/unpack.c.
"""

from __future__ import annotations

from collections.abc import Callable

from pyrun.cli.gotemplate import Template, TemplateError
from pyrun.errors import InvalidInputError, PyrunError
from pyrun.oci import convert, instructions, json
from pyrun.oci import reference as references
from pyrun.oci.config import ContainerConfig, decode_config, layers_of
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, best_match
from pyrun.registry import blob, challenge, config_parse, credential_file, credentials, retry
from pyrun.registry.config import Configuration
from pyrun.registry.url import Url
from pyrun.trust import keys, payload, policy, private_key
from pyrun.trust.identity import Identity


def reference(data: bytes) -> None:
    """A reference that is taken is the same when its own text is read again, in full and in familiar words."""
    text = data.decode("utf-8", "surrogateescape")
    for read in (references.parse, references.parse_normalized, references.parse_any):
        try:
            found = read(text)
        except InvalidInputError:
            continue
        assert found.string.isascii(), found.string
        assert references.parse(found.string).string == found.string
        # Not of an id, which is no name. As in docker, docker.io/HOST/x and docker.io/library/ID are short for others.
        if read is not references.parse and found.path and not _is_for_another(found):
            assert references.parse_normalized(found.familiar).string == found.string


def _is_for_another(found: references.Reference) -> bool:
    first = found.path.partition("/")[0]
    is_host = "/" in found.path and ("." in first or ":" in first or first == "localhost")
    return found.domain == "docker.io" and (is_host or references.is_identifier(found.familiar))


def manifest(data: bytes) -> None:
    """Every digest and size of a document that is taken can be used, and a converted one reads as the same image."""
    try:
        document = decode_manifest(data)
    except PyrunError:
        return
    if isinstance(document, Index):
        best_match(document.manifests, Platform("linux", "arm64", "v8"))
        return
    for descriptor in (document.config, *document.layers):
        assert descriptor.size >= 0
        assert ":" in descriptor.digest
        assert "/" not in descriptor.digest
    descriptor, converted = convert.to_oci(document)
    again = decode_manifest(converted, descriptor.media_type)
    assert isinstance(again, Manifest)
    assert [item.digest for item in again.layers] == [item.digest for item in document.layers]


def config(data: bytes) -> None:
    """An image's config, and the layers that a manifest of as many finds in it."""
    try:
        found = decode_config(data)
        document = decode_manifest(_manifest_of(len(found.rootfs.diff_ids)))
        assert isinstance(document, Manifest)
        assert len(layers_of(document, found)) == len(found.rootfs.diff_ids)
    except PyrunError:
        return


def platform(data: bytes) -> None:
    """A platform that is taken is itself when its text is read again."""
    try:
        found = Platform.parse(data.decode("utf-8", "surrogateescape"))
    except InvalidInputError:
        return
    assert Platform.parse(str(found)) == found


def document(data: bytes) -> None:
    """Our own reader of JSON: a value that is taken is the same when it is written and read again."""
    try:
        value = json.loads(data)
    except ValueError:
        return
    assert json.loads(json.dumps(value)) == value


def headers(data: bytes) -> None:
    """What a registry says beside the body: who may come, where from, how much, how long."""
    text = data.decode("latin-1")
    for item in challenge.parse_challenges(text):
        assert isinstance(item.scheme, str)
    start, total = blob._content_range(text)
    assert (start or 0) >= 0
    assert (total or 0) >= 0
    seconds = retry.seconds_of(text)
    assert seconds is None or seconds >= 0
    base = Url("https", "registry.example", 443, "/v2/a/blobs/uploads/")
    try:
        url = base.join(text)
    except PyrunError:
        return
    # Nothing that could end the line of a request, or add one.
    assert url.target.isascii()
    assert url.target.isprintable()
    assert " " not in url.target


def changes(data: bytes) -> None:
    """Instructions of ``-c``: those of a stranger's script."""
    try:
        instructions.apply(ContainerConfig(), data.decode("utf-8", "replace").split("\0"))
    except PyrunError:
        return


def template(data: bytes) -> None:
    """Go templates; their loops are over what is there, so each ends."""
    text = data.decode("utf-8", "replace")
    value = {"ID": "abc", "Names": ["a", "b"], "Size": 3, "Labels": {"k": "v"}, "None": None, "Yes": True}
    try:
        Template(text).render(value)
    except TemplateError:
        return


def signature_policy(data: bytes) -> None:
    """A policy that is taken asks for something of every image, and has no requirement that is empty."""
    try:
        rules = policy.parse(data, "policy.json")
    except PyrunError:
        return
    image = references.parse_normalized("registry.example:5000/a/b:1")
    scopes = policy.docker_scopes(image.domain, image.path, image.tag, image.digest)
    for transport, found in (("docker", scopes), ("oci", policy.path_scopes("/a/b")), ("docker-archive", [])):
        _, requirements = rules.requirements(transport, found)
        assert requirements
        for requirement in requirements:
            requirement.identity.matches(image, "registry.example:5000/a/b:1")


def claim(data: bytes) -> None:
    """A signed claim that is taken is about a digest, and every kind of identity can be asked about its name."""
    try:
        found = payload.parse(data)
    except PyrunError:
        return
    assert ":" in found.digest
    for kind in ("matchExact", "matchRepoDigestOrExact", "matchRepository"):
        Identity(kind).matches(references.parse_normalized("busybox:1"), found.reference)


def key_file(data: bytes) -> None:
    """Keys, public and private, that a user or a policy names."""
    for read in (
        lambda: keys.parse(data, "k").verifies("AAAA", b"x"), lambda: private_key.parse(data, "k", b"passphrase"),
    ):  # fmt: skip
        try:
            read()
        except PyrunError:
            continue


def registries(data: bytes) -> None:
    """A registries.conf that is taken answers for every name, or says what is wrong with it."""
    try:
        found = Configuration(config_parse.parse_bytes("registries.conf", data), [])
    except PyrunError:
        return
    for text in ("busybox", "registry.example:5000/a/b:1", "a.b.example/x@sha256:" + "0" * 64):
        try:
            assert found.endpoints(references.parse_normalized(text))
        except PyrunError:
            continue
    assert isinstance(found.is_insecure("a.b.example"), bool)


def auth_file(data: bytes) -> None:
    """Docker's config.json and podman's auth.json: what is taken can be put into a header."""
    try:
        document = credential_file.parse("config.json", data)
        credential_file.helper_of(document, "registry.example")
        for key in credential_file.auths_of(document):
            found = credentials._entry("config.json", document, credential_file.normal(key), "")
            assert found is None or found.basic.isascii()
    except PyrunError:
        return


def _manifest_of(layers: int) -> bytes:
    digest = "sha256:" + "0" * 64
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 1}
    return json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2},
        "layers": [layer] * layers,
    }).encode()  # fmt: skip


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        reference, manifest, config, platform, document, headers, changes, template, signature_policy, claim, key_file,
        registries, auth_file,
    )
}  # fmt: skip
