"""Descriptors, manifests, indexes and configs against the image-spec's own table, and what they must refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrun.errors import InvalidConfigError
from pyrun.oci import media_types
from pyrun.oci.config import decode_config, layers_of
from pyrun.oci.descriptor import Descriptor, decode_image_layout
from pyrun.oci.document import decode
from pyrun.oci.index import Index
from pyrun.oci.limits import MAX_DOCUMENT_BYTES
from pyrun.oci.manifest import Manifest, decode_manifest

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "corpora" / "image-spec.json").read_text())
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "descriptor": lambda data: decode(data, Descriptor, "descriptor"),
    "manifest": decode_manifest,
    "imageindex": decode_manifest,
    "config": decode_config,
    "imagelayout": decode_image_layout,
}
DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": media_types.DOCKER_CONFIG, "size": 10, "digest": DIGEST}
LAYER = {"mediaType": media_types.DOCKER_LAYER_GZIP, "size": 20, "digest": DIGEST}
DOCKER = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST, "config": CONFIG, "layers": [LAYER]}
IMAGE = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [DIGEST]}}


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 65
    assert {row["kind"] for row in ROWS} == set(DECODERS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row['kind']}" for number, row in enumerate(ROWS)])
def test_agrees_with_the_image_spec(row: dict[str, Any]) -> None:
    data = row["json"].encode()
    if row["fail"]:
        with pytest.raises(InvalidConfigError):
            DECODERS[row["kind"]](data)
    else:
        found = DECODERS[row["kind"]](data)
        if row["kind"] in ("manifest", "imageindex"):
            assert isinstance(found, Manifest if row["kind"] == "manifest" else Index)


@pytest.mark.parametrize(
    ("decoder", "document", "pointer"),
    [
        (decode_manifest, {**DOCKER, "layers": [LAYER, {**LAYER, "size": "1"}]}, "/layers/1/size"),
        (decode_manifest, {**DOCKER, "config": {**CONFIG, "digest": "x"}}, "/config/digest"),
        (decode_manifest, {**DOCKER, "config": {**CONFIG, "digest": DIGEST + "\n"}}, "/config/digest"),
        (
            decode_manifest,
            {**DOCKER, "config": {**CONFIG, "digest": "sha256:../../../../etc/passwd"}},
            "/config/digest",
        ),
        (decode_manifest, {**DOCKER, "annotations": {"a": 1}}, "/annotations"),
        (decode_manifest, {**DOCKER, "schemaVersion": 3}, "/schemaVersion"),
        (decode_manifest, {**DOCKER, "layers": [{**LAYER, "size": 2**63}]}, "/layers/0/size"),
        (decode_manifest, {**DOCKER, "mediaType": 1}, "/mediaType"),
        (decode_manifest, {**DOCKER, "mediaType": "application/json"}, "/mediaType"),
        (decode_manifest, {"schemaVersion": 1, "fsLayers": []}, "/schemaVersion"),
        (decode_config, {**IMAGE, "config": {"Labels": {"a": 1}}}, "/config/Labels"),
        (decode_config, {**IMAGE, "config": {"Env": ["A=1", "=x"]}}, "/config/Env/1"),
        (decode_config, {**IMAGE, "rootfs": {"type": "layers", "diff_ids": ["sha256:a"]}}, "/rootfs/diff_ids/0"),
        (decode_config, {**IMAGE, "rootfs": {"type": "tree", "diff_ids": []}}, "/rootfs/type"),
        (decode_config, {**IMAGE, "os.version": 1}, "/os.version"),
        (decode_config, {**IMAGE, "created": "\x1b[2J"}, "/created"),
        (decode_config, [], ""),
    ],
)
def test_pointer_names_the_bad_field(decoder: Callable[[bytes], Any], document: object, pointer: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        decoder(raw(document))
    assert caught.value.pointer == pointer
    assert (pointer or "/") in caught.value.message


def test_docker_manifest_and_list() -> None:
    manifest = decode_manifest(raw(DOCKER), f"{media_types.DOCKER_MANIFEST}; charset=utf-8")
    assert isinstance(manifest, Manifest)
    assert manifest.is_image
    assert manifest.layers[0].media_type == media_types.DOCKER_LAYER_GZIP
    entry = {"mediaType": media_types.DOCKER_MANIFEST, "size": 1, "digest": DIGEST}
    platform = {"os": "windows", "architecture": "amd64", "os.version": "10.0", "os.features": ["x"]}
    found = decode_manifest(
        raw({"schemaVersion": 2, "mediaType": media_types.DOCKER_LIST, "manifests": [{**entry, "platform": platform}]})
    )
    assert isinstance(found, Index)
    assert found.manifests[0].platform is not None
    assert found.manifests[0].platform.os_version == "10.0"
    assert found.manifests[0].platform.os_features == ["x"]


def test_kind_without_media_type() -> None:
    bare = {key: value for key, value in DOCKER.items() if key != "mediaType"}
    assert isinstance(decode_manifest(raw(bare)), Manifest)
    assert isinstance(decode_manifest(raw(bare), "text/plain"), Manifest)
    assert isinstance(decode_manifest(raw({"schemaVersion": 2, "manifests": []})), Index)


@pytest.mark.parametrize("extra", [{"layers": [LAYER]}, {"config": CONFIG}])
def test_a_document_of_two_kinds_is_refused(extra: dict[str, Any]) -> None:
    document = {"schemaVersion": 2, "manifests": [], **extra}
    for media_type in ("", media_types.OCI_INDEX, media_types.OCI_MANIFEST):
        with pytest.raises(InvalidConfigError, match="both an index and a manifest"):
            decode_manifest(raw(document), media_type)


def test_served_as_something_else_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="served as"):
        decode_manifest(raw(DOCKER), media_types.OCI_MANIFEST)


def test_too_large() -> None:
    padding = " " * MAX_DOCUMENT_BYTES
    for decoder in (decode_manifest, decode_config):
        with pytest.raises(InvalidConfigError, match="more than the limit"):
            decoder(raw(DOCKER) + padding.encode())


def test_too_deep() -> None:
    with pytest.raises(InvalidConfigError):
        decode_config(b'{"history":' + b"[" * 1_000_000)


def test_docker_config_with_nulls_and_additions() -> None:
    config = decode_config(
        raw(
            {
                **IMAGE,
                "created": "2024-01-02T03:04:05.123456789Z",
                "docker_version": "26.1",
                "container_config": {"Cmd": "anything"},
                "history": [{"created_by": "ADD x", "empty_layer": True}, {"created": "2024-01-02T03:04:05+01:00"}],
                "config": {
                    "Entrypoint": None,
                    "Volumes": None,
                    "Labels": None,
                    "OnBuild": None,
                    "ExposedPorts": {"80/tcp": {}, "53/udp": None},
                    "Cmd": ["sh"],
                    "Env": ["EMPTY=", "A=b=c"],
                    "WorkingDir": "",
                    "ArgsEscaped": True,
                    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000, "StartPeriod": 1},
                    "StopSignal": "SIGTERM",
                    "Tty": False,
                },
            }
        )
    )
    assert config.config is not None
    assert config.config.entrypoint is None
    assert config.config.exposed_ports == {"80/tcp": {}, "53/udp": None}
    assert config.config.healthcheck is not None
    assert config.config.healthcheck.start_period == 1
    assert config.config.stop_signal == "SIGTERM"
    assert config.history is not None
    assert config.history[0].empty_layer


def test_layers_and_diff_ids_must_count_alike() -> None:
    manifest = decode_manifest(raw({**DOCKER, "layers": [LAYER, LAYER]}))
    assert isinstance(manifest, Manifest)
    with pytest.raises(InvalidConfigError, match="1 diff_ids for the 2 layers"):
        layers_of(manifest, decode_config(raw(IMAGE)))
    pair = layers_of(decode_manifest(raw(DOCKER)), decode_config(raw(IMAGE)))  # type: ignore[arg-type]
    assert [(layer.size, diff_id) for layer, diff_id in pair] == [(20, DIGEST)]
