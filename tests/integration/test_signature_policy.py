"""A pull obeys the signature policy, before anything has come in; what is here already is judged when it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import judgement, rmi, tag
from pyrun.engine.load import load
from pyrun.engine.origin import Origin
from pyrun.engine.pull import PullResult
from pyrun.engine.save import Options, save
from pyrun.errors import InvalidConfigError, NotFoundError, PolicyRejectedError, RegistryError, StoreError
from pyrun.images import resolve
from pyrun.layers import pyrun_tree
from pyrun.oci import media_types, signature
from pyrun.oci.platform import host
from pyrun.oci.reference import parse_normalized
from pyrun.oci.signature import Signature
from pyrun.registry import signatures
from pyrun.store import index, sealed
from pyrun.store.layout import Layout
from tests.support import signing
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document, status
from tests.support.signing import OTHER_KEY, policy, requirement, signed
from tests.support.store_images import FORM, Image, contents, fetch, new_layout, tar_of

IMAGE = Image(tar_of(file=b"x"), architecture=host().architecture)


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as found:
        yield found


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(resolve, "SYSTEM_POLICY", str(tmp_path / "none"))
    return new_layout(tmp_path)


@pytest.fixture
def rules(tmp_path: Path) -> str:
    return policy(tmp_path / "policy.json", requirement())


def serve(registry: HostileRegistry, image: Image = IMAGE, *tags: str) -> str:
    digest, answer = document(image.manifest)
    for name in (*(tags or ("1",)), digest):
        registry.on(f"/v2/x/manifests/{name}", answer)
    for data in (image.config, *image.layers):
        registry.on(f"/v2/x/blobs/{digest_of(data)}", blob(data))
    return digest


def refused(layout: Layout, name: str, file: str) -> PolicyRejectedError:
    """Pull, which must be refused, and leave nothing."""
    before = contents(layout)
    with pytest.raises(PolicyRejectedError) as caught:
        fetch(layout, name, signature_policy=file)
    assert contents(layout) == before
    assert caught.value.file == file
    return caught.value


def entry_of(layout: Layout, name: str) -> index.Entry:
    return resolve.find_entry(layout, name)


# Coming in


def test_without_a_policy_all_is_accepted_and_nothing_is_asked_for(registry: HostileRegistry, layout: Layout) -> None:
    digest = serve(registry)
    fetch(layout, f"{registry.domain}/x:1")
    assert not registry.asked(".sig")
    kept = {"origins": [["docker", f"{registry.domain}/x:1"]], "signatures": []}
    assert sealed.unseal(Path(layout.image_signatures(digest)).read_bytes()) == kept


def test_a_signed_image_comes_in_and_an_unsigned_one_does_not(
    registry: HostileRegistry, layout: Layout, rules: str
) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    error = refused(layout, name, rules)
    assert error.message == (
        f'refused by the signature policy: {name}: it has no signature (scope "docker" "" of {rules})'
    )
    assert error.hint == f"its owner can sign it: `pyrun image sign --key cosign.key {name}`"
    assert not registry.asked("/blobs/")  # not even its configuration
    signing.serve(registry, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)
    assert os.listdir(layout.signatures) == [digest]


@pytest.mark.parametrize("way", ["referrers", "fallback tag"])
def test_signatures_among_the_referrers(registry: HostileRegistry, layout: Layout, rules: str, way: str) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    path = f"/v2/x/referrers/{digest}" if way == "referrers" else f"/v2/x/manifests/{digest.replace(':', '-')}"
    signing.serve_referrer(registry, path, digest, signed(name, digest), of="sha256:" + "1" * 64)
    assert (
        "it has no signature" in refused(layout, name, rules).reason
    )  # it refers to something else, whatever is listed
    signing.serve_referrer(registry, path, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda name, digest: signed(name, digest, OTHER_KEY), "a signature by another key"),
        (lambda name, digest: signed(name, "sha256:" + "1" * 64), "a signature of another image, sha256:1111"),
        (lambda name, digest: signed(name.replace("x:1", "x:2"), digest), "a signature for another name"),
        (lambda name, digest: signed(name.replace("x:1", "y:1"), digest), "a signature for another name"),
        (lambda name, digest: Signature(b"{}", signed(name, digest).encoded, digest), "a signature by another key"),
        (lambda name, digest: Signature(b"{}", signing.KEY.sign(b"{}"), digest), "critical is missing"),
    ],
)  # fmt: skip
def test_signatures_that_do_not_count(
    registry: HostileRegistry, layout: Layout, rules: str, make: object, words: str
) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    assert callable(make)
    signing.serve(registry, digest, make(name, digest))
    assert words in refused(layout, name, rules).reason


def test_another_tag_of_what_was_signed(registry: HostileRegistry, layout: Layout, tmp_path: Path, rules: str) -> None:
    """An old release under the name of the new one: the digest is good, the name is not."""
    digest = serve(registry, IMAGE, "1", "2")
    signing.serve(registry, digest, signed(f"{registry.domain}/x:1", digest))
    assert "for another name" in refused(layout, f"{registry.domain}/x:2", rules).reason
    fetch(layout, f"{registry.domain}/x@{digest}", signature_policy=rules)
    any_tag = policy(tmp_path / "any", requirement(signedIdentity={"type": "matchRepository"}))
    fetch(layout, f"{registry.domain}/x:2", signature_policy=any_tag)


def test_a_schema_2_image_is_judged_by_its_own_digest(registry: HostileRegistry, layout: Layout, rules: str) -> None:
    text = json.dumps({**IMAGE.manifest, "mediaType": media_types.DOCKER_MANIFEST})
    text = text.replace(media_types.OCI_CONFIG, media_types.DOCKER_CONFIG)
    digest, answer = document(
        json.loads(text.replace(media_types.OCI_LAYER_GZIP, media_types.DOCKER_LAYER_GZIP)), media_types.DOCKER_MANIFEST
    )
    serve(registry)
    registry.on("/v2/x/manifests/1", answer)
    name = f"{registry.domain}/x:1"
    signing.serve(registry, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)
    judgement.check_stored(layout, entry_of(layout, name), rules)


def test_of_an_index_the_signature_on_the_platforms_manifest_counts(
    registry: HostileRegistry, layout: Layout, rules: str
) -> None:
    digest = serve(registry)
    size = len(json.dumps(IMAGE.manifest).encode())
    platform = {"os": "linux", "architecture": host().architecture}
    entry = {"mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": size, "platform": platform}
    listed = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [entry]}
    of_index, answer = document(listed, media_types.OCI_INDEX)
    registry.on("/v2/x/manifests/multi", answer)
    name = f"{registry.domain}/x:multi"
    signing.serve(registry, of_index, signed(name, of_index))
    assert "must be signed itself: `pyrun image sign --recursive" in refused(layout, name, rules).hint
    signing.serve(registry, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)


# Hostile registries: what cannot be known is refused


def test_a_registry_that_fails_when_it_is_asked(registry: HostileRegistry, layout: Layout, rules: str) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    for path in (f"/v2/x/manifests/{signature.tag_of(digest)}", f"/v2/x/referrers/{digest}"):
        registry.on(path, status(403, b'{"errors":[{"code":"DENIED","message":"no"}]}'))
        with pytest.raises(RegistryError) as caught:
            fetch(layout, name, signature_policy=rules)
        assert digest.partition(":")[2] in caught.value.message
        assert caught.value.__notes__ == [
            f'the signature policy asks for a signature of {name} (scope "docker" "" of {rules})'
        ]
        assert index.entries(layout) == []
        registry.on(path)


def test_too_many_signatures_and_too_large_ones(
    registry: HostileRegistry, layout: Layout, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "MAX_SIGNATURES", 5)
    digest, name = serve(registry), f"{registry.domain}/x:1"
    bad, good = signed(name, digest, OTHER_KEY), signed(name, digest)
    signing.serve(registry, digest, *[bad] * 3000, good)
    with pytest.raises(InvalidConfigError, match="more than the limit of 5"):
        fetch(layout, name, signature_policy=rules)
    assert len(registry.asked(digest_of(bad.payload))) == 6
    huge = Signature(b" " * 100_000, bad.encoded, digest)
    signing.serve(registry, digest, huge)
    with pytest.raises(InvalidConfigError, match="more than the limit of 65536"):
        fetch(layout, name, signature_policy=rules)
    assert not registry.asked(digest_of(huge.payload))
    lies = signing.manifest_of(good)
    registry.on(f"/v2/x/blobs/{digest_of(good.payload)}", blob(good.payload.replace(b"x:1", b"x:2")))
    registry.on(f"/v2/x/manifests/{signature.tag_of(digest)}", document(lies)[1])
    with pytest.raises(Exception, match="digest does not match"):
        fetch(layout, name, signature_policy=rules)
    assert index.entries(layout) == []


# Policies that cannot be read


@pytest.mark.parametrize("fault", ["missing", "dangling", "unreadable", "directory", "garbage", "no such key"])
def test_a_policy_that_cannot_be_read_accepts_nothing(
    registry: HostileRegistry, layout: Layout, tmp_path: Path, fault: str
) -> None:
    serve(registry)
    file = tmp_path / "config" / "containers" / "policy.json"
    file.parent.mkdir(parents=True)
    if fault == "dangling":
        file.symlink_to("nowhere")
    elif fault == "directory":
        file.mkdir()
    elif fault == "no such key":
        policy(file, {"type": "sigstoreSigned", "keyPath": str(tmp_path / "nowhere.pub")})
        signing.serve(registry, serve(registry), signed("x", "sha256:" + "1" * 64))
    elif fault != "missing":
        file.write_text("{")
        file.chmod(0 if fault == "unreadable" else 0o644)
    if fault == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads all")
    given = str(file) if fault == "missing" else None
    expected = (NotFoundError,) if fault == "no such key" else (StoreError, InvalidConfigError)
    with pytest.raises(expected) as caught:
        fetch(layout, f"{registry.domain}/x:1", signature_policy=given)
    assert str(tmp_path / "nowhere.pub" if fault == "no such key" else file) in str(caught.value)
    assert index.entries(layout) == []


def test_the_users_policy_hides_the_systems(
    registry: HostileRegistry, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(registry)
    system, user = tmp_path / "system.json", tmp_path / "config" / "containers" / "policy.json"
    monkeypatch.setattr(resolve, "SYSTEM_POLICY", policy(system))
    assert refused_by(layout, f"{registry.domain}/x:1") == str(system)
    user.parent.mkdir(parents=True)
    policy(user)
    assert refused_by(layout, f"{registry.domain}/x:1") == str(user)
    user.unlink()
    user.symlink_to(policy(tmp_path / "linked", default="insecureAcceptAnything"))
    fetch(layout, f"{registry.domain}/x:1")
    podmans = tmp_path / "home/.config/containers/policy.json"  # read by it wherever XDG_CONFIG_HOME is
    podmans.parent.mkdir(parents=True)
    policy(podmans)
    assert refused_by(layout, f"{registry.domain}/x:1") == str(podmans)


def refused_by(layout: Layout, name: str) -> str:
    with pytest.raises(PolicyRejectedError) as caught:
        fetch(layout, name)
    return caught.value.file


def test_where_it_cannot_be_known_whether_there_is_a_policy(
    registry: HostileRegistry, layout: Layout, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads all")
    serve(registry)
    closed = tmp_path / "config"
    closed.mkdir(mode=0)
    with pytest.raises(StoreError, match="cannot look for the signature policy"):
        resolve.policy_file()
    with pytest.raises(StoreError, match=r"cannot read registry configuration: .*: permission denied"):
        fetch(layout, f"{registry.domain}/x:1")
    closed.chmod(0o700)


# What is in the store already


def test_what_came_in_without_a_signature(registry: HostileRegistry, layout: Layout, rules: str) -> None:
    """A stricter policy later: it is not used until a pull has found its signatures, which fetches nothing else."""
    digest, name = serve(registry), f"{registry.domain}/x:1"
    fetch(layout, name)
    with pytest.raises(PolicyRejectedError) as caught:
        fetch(layout, name, policy="missing", signature_policy=rules)
    assert caught.value.reason == "it came in without a signature"
    assert caught.value.hint == f"`pyrun pull {name}` asks its registry for signatures"
    with pytest.raises(PolicyRejectedError):
        fetch(layout, name, signature_policy=rules)
    signing.serve(registry, digest, signed(name, digest))
    served = len(registry.asked(digest_of(IMAGE.layers[0])))
    assert fetch(layout, name, signature_policy=rules).up_to_date
    assert len(registry.asked(digest_of(IMAGE.layers[0]))) == served
    fetch(layout, name, policy="never", signature_policy=rules)


def test_what_another_policy_or_key_rejects(
    registry: HostileRegistry, layout: Layout, tmp_path: Path, rules: str
) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    signing.serve(registry, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)
    key = tmp_path / "key.pub"
    key.write_bytes(signing.KEY.public.pem())
    by_path = policy(tmp_path / "by-path", {"type": "sigstoreSigned", "keyPath": str(key)})
    for path in (rules, key, by_path):
        os.utime(path, (1, 1))
    for file in (rules, by_path):
        judgement.check_stored(layout, entry_of(layout, name), file)
        assert resolve.is_accepted(layout, entry_of(layout, name), file)
    assert not resolve.is_accepted(layout, entry_of(layout, name), rules)  # the last one is kept
    key.write_bytes(OTHER_KEY.public.pem())
    os.utime(key, (1, 1))
    assert not resolve.is_accepted(layout, entry_of(layout, name), by_path)
    with pytest.raises(PolicyRejectedError, match="by another key"):
        judgement.check_stored(layout, entry_of(layout, name), by_path)
    with pytest.raises(PolicyRejectedError, match="reject"):
        judgement.check_stored(layout, entry_of(layout, name), policy(tmp_path / "reject"))


def test_a_verdict_is_not_kept_for_a_file_that_was_just_written(
    registry: HostileRegistry, layout: Layout, tmp_path: Path
) -> None:
    serve(registry)
    fetch(layout, f"{registry.domain}/x:1")
    entry = entry_of(layout, f"{registry.domain}/x:1")
    file = policy(tmp_path / "lax", default="insecureAcceptAnything")
    judgement.check_stored(layout, entry, file)
    assert not resolve.is_accepted(layout, entry, file)
    os.utime(file, (1, 1))
    judgement.check_stored(layout, entry, file)
    assert resolve.is_accepted(layout, entry, file)
    Path(resolve.verdict_path(layout, entry)).write_text("{}")
    assert not resolve.is_accepted(layout, entry, file)


def test_another_name_given_here_is_judged_by_where_it_came_from(
    registry: HostileRegistry, layout: Layout, tmp_path: Path, rules: str
) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    signing.serve(registry, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)
    tag.tag(layout, name, "trusted.example.com/app:1")
    lax = policy(tmp_path / "lax", {"type": "insecureAcceptAnything"}, scope="trusted.example.com")
    with pytest.raises(PolicyRejectedError):
        judgement.check_stored(layout, entry_of(layout, "trusted.example.com/app:1"), lax)
    judgement.check_stored(layout, entry_of(layout, "trusted.example.com/app:1"), rules)
    tag.tag(layout, name, f"{registry.domain}/x:2")  # but it is not that release of the same repository
    with pytest.raises(PolicyRejectedError, match="for another name"):
        judgement.check_stored(layout, entry_of(layout, f"{registry.domain}/x:2"), rules)


def test_another_platform_of_the_store_is_judged_by_where_the_index_came_from(
    registry: HostileRegistry, layout: Layout, tmp_path: Path
) -> None:
    """Not by the name that it has here: a tag would make any image one of another place."""
    mine, theirs = Image(tar_of(a=b"1")), Image(tar_of(a=b"2"), architecture="ppc64le")
    top: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}
    for image in (mine, theirs):
        digest = serve(registry, image)
        size, where = len(json.dumps(image.manifest)), json.loads(image.config)
        top["manifests"].append({
            "mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": where["architecture"]},
        })  # fmt: skip
    registry.on("/v2/x/manifests/1", document(top, media_types.OCI_INDEX)[1])
    name, called = f"{registry.domain}/x:1", "trusted.example.com/app:1"
    fetch(layout, name, all_platforms=True)
    tag.tag(layout, name, called)
    lax = policy(tmp_path / "lax", {"type": "insecureAcceptAnything"}, scope="trusted.example.com")
    with pytest.raises(PolicyRejectedError, match=f"refused by the signature policy: {name}"):
        fetch(layout, called, platform="linux/ppc64le", policy="never", signature_policy=lax)
    found = fetch(layout, called, platform="linux/ppc64le", policy="never")
    assert found.image_id == digest_of(theirs.config)
    with pytest.raises(PolicyRejectedError, match=f"refused by the signature policy: {name}"):
        judgement.check_stored(layout, entry_of(layout, called), lax)


def test_an_image_from_an_archive_is_judged_by_its_path(layout: Layout, tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    rules = tmp_path / "policy.json"
    accept = [{"type": "insecureAcceptAnything"}]
    scopes = {"oci-archive": {str(tmp_path): accept}, "docker-archive": {"": [requirement()]}}
    rules.write_text(json.dumps({"default": [{"type": "reject"}], "transports": scopes}))
    origin = Origin.file("oci-archive", f"{tmp_path}/./a.tar")
    admitted = judgement.admit(origin, digest, given=str(rules))
    admitted.keep(layout, digest)
    with pytest.raises(PolicyRejectedError, match='scope "default"'):
        judgement.admit(Origin.file("oci-archive", "/elsewhere/a.tar"), digest, given=str(rules))
    with pytest.raises(PolicyRejectedError) as caught:
        judgement.admit(Origin.file("docker-archive", f"{tmp_path}/a.tar"), digest, given=str(rules))
    assert "archives have no signatures" in caught.value.hint
    entry: index.Entry = {"digest": digest}
    judgement.check_stored(layout, entry, str(rules))
    with pytest.raises(PolicyRejectedError):
        judgement.check_stored(layout, entry, policy(tmp_path / "strict", requirement()))
    made_here: index.Entry = {"digest": "sha256:" + "2" * 64}
    judgement.check_stored(layout, made_here, policy(tmp_path / "strict", requirement()))


def test_what_was_made_here_stays_so_when_it_is_pulled_again(layout: Layout, tmp_path: Path) -> None:
    name = "registry.example.com/x:1"
    entry: index.Entry = {"digest": "sha256:" + "3" * 64, "annotations": {index.REF_NAME: name}}
    strict = policy(tmp_path / "strict", requirement())
    judgement.Admitted(Origin.registry(parse_normalized(name)), []).keep(layout, entry["digest"])
    with pytest.raises(PolicyRejectedError, match="it came in without a signature"):
        judgement.check_stored(layout, entry, strict)
    judgement.Admitted(Origin.here(), []).keep(layout, entry["digest"])
    judgement.check_stored(layout, entry, strict)


def test_a_removed_image_takes_its_signatures_along(registry: HostileRegistry, layout: Layout, rules: str) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    signing.serve(registry, digest, signed(name, digest))
    fetch(layout, name, signature_policy=rules)
    os.utime(rules, (1, 1))
    judgement.check_stored(layout, entry_of(layout, name), rules)
    assert len(os.listdir(layout.signatures)) == 2
    rmi.remove_image(layout, name)
    assert os.listdir(layout.signatures) == []


def test_damaged_signatures_accept_nothing(registry: HostileRegistry, layout: Layout, rules: str) -> None:
    digest, name = serve(registry), f"{registry.domain}/x:1"
    signing.serve(registry, digest, signed(name, digest))
    result: PullResult = fetch(layout, name, signature_policy=rules)
    Path(layout.image_signatures(result.manifest)).write_text("{")
    with pytest.raises(StoreError, match="cannot read the signatures of an image"):
        judgement.check_stored(layout, entry_of(layout, name), rules)


def test_load_obeys_the_policy(registry: HostileRegistry, layout: Layout, tmp_path: Path) -> None:
    serve(registry)
    fetch(layout, f"{registry.domain}/x:1")
    archive = tmp_path / "a.tar"
    save(layout, [f"{registry.domain}/x:1"], Options(output=str(archive)))
    other = new_layout(tmp_path / "other")
    before = contents(other)
    accept = {"/".join([str(tmp_path), "a.tar"]): [{"type": "insecureAcceptAnything"}]}
    file = tmp_path / "policy.json"
    for transports, words in (
        ({}, f'oci-archive:{archive}: nothing is accepted there (reject) (scope "default"'),
        ({"oci-archive": {"": [requirement()]}}, "it has no signature"),
        ({"docker": {"": [{"type": "insecureAcceptAnything"}]}}, 'scope "default"'),
    ):
        file.write_text(json.dumps({"default": [{"type": "reject"}], "transports": transports}))
        with pytest.raises(PolicyRejectedError) as caught:
            load(other, str(archive), form=FORM, spawn=pyrun_tree.spawn_here, signature_policy=str(file))
        assert words in caught.value.message
        assert contents(other) == before
    file.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"oci-archive": accept}}))
    load(other, str(archive), form=FORM, spawn=pyrun_tree.spawn_here, signature_policy=str(file))
    entry = entry_of(other, f"{registry.domain}/x:1")
    judgement.check_stored(other, entry, str(file))
    with pytest.raises(PolicyRejectedError):
        judgement.check_stored(other, entry, policy(tmp_path / "reject"))


def test_where_an_image_came_from_is_not_forgotten(registry: HostileRegistry, layout: Layout, tmp_path: Path) -> None:
    """RepoDigests come and go with push and rmi, and with an index that is made again."""
    serve(registry)
    name = f"{registry.domain}/x:1"
    fetch(layout, name)
    tag.tag(layout, name, "mine:1")
    rmi.remove_image(layout, name)

    def forget(found: list[index.Entry]) -> list[index.Entry]:
        return [{"digest": entry["digest"], "annotations": {index.REF_NAME: index.ref_name(entry)}} for entry in found]

    index.update(layout, forget)
    with pytest.raises(PolicyRejectedError, match=f"{name}: nothing is accepted there"):
        judgement.check_stored(layout, entry_of(layout, "mine:1"), policy(tmp_path / "reject"))


def test_a_verdict_ends_when_an_image_comes_in_once_more(
    registry: HostileRegistry, layout: Layout, tmp_path: Path
) -> None:
    serve(registry, IMAGE, "1", "2")
    fetch(layout, f"{registry.domain}/x:1")
    lax = policy(tmp_path / "lax", default="insecureAcceptAnything")
    os.utime(lax, (1, 1))
    entry = entry_of(layout, f"{registry.domain}/x:1")
    judgement.check_stored(layout, entry, lax)
    assert resolve.is_accepted(layout, entry, lax)
    fetch(layout, f"{registry.domain}/x:2")
    assert not resolve.is_accepted(layout, entry, lax)
