"""Image configurations: what to run, for which platform, on which layers.

It must not know how a container is made of it. Source: image-spec 1.1 config.md; Docker's additions (Healthcheck,
Shell, OnBuild) are read too. Docker writes null for what is absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pyrun.errors import InvalidConfigError
from pyrun.oci.descriptor import Descriptor, Digest
from pyrun.oci.document import TEXT_PATTERN, TIME_PATTERN, VARIABLE_PATTERN, decode
from pyrun.oci.manifest import Manifest

Text = Annotated[str, msgspec.Meta(pattern=TEXT_PATTERN)]
Variable = Annotated[str, msgspec.Meta(pattern=VARIABLE_PATTERN)]
Time = Annotated[str, msgspec.Meta(pattern=TIME_PATTERN)]


class Healthcheck(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Docker's HEALTHCHECK; times in nanoseconds."""

    test: list[str] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class ContainerConfig(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """The field ``config``: the defaults of a container."""

    user: Text | None = None
    exposed_ports: dict[str, dict[str, Any] | None] | None = None
    env: list[Variable] | None = None
    entrypoint: list[Text] | None = None
    cmd: list[Text] | None = None
    volumes: dict[Text, dict[str, Any] | None] | None = None
    working_dir: Text | None = None
    labels: dict[str, str] | None = None
    stop_signal: Text | None = None
    stop_timeout: int | None = None
    args_escaped: bool | None = None
    healthcheck: Healthcheck | None = None
    shell: list[str] | None = None
    on_build: list[str] | None = None


class RootFS(msgspec.Struct, frozen=True):
    """The layers' identities: digests of the uncompressed tars, lowest first."""

    type: Literal["layers"]
    diff_ids: list[Digest]


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the build; ``empty_layer`` steps have no entry in ``diff_ids``."""

    created: Time | None = None
    author: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class ImageConfig(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"os_version": "os.version", "os_features": "os.features"}
):
    """An image configuration; its digest is the image id."""

    architecture: str
    os: str
    rootfs: RootFS
    created: Time | None = None
    author: str | None = None
    variant: str | None = None
    os_version: str | None = None
    os_features: list[str] | None = None
    config: ContainerConfig | None = None
    history: list[History] | None = None


def decode_config(data: bytes) -> ImageConfig:
    """Decode an image configuration (OCI or Docker).

    Raises:
        InvalidConfigError: with the JSON pointer of the field that is wrong.
    """
    return decode(data, ImageConfig, "image config")


def layers_of(manifest: Manifest, config: ImageConfig) -> list[tuple[Descriptor, str]]:
    """Pair each layer with its diff_id, lowest first.

    Raises:
        InvalidConfigError: manifest and config do not count the same layers.
    """
    layers, diff_ids = manifest.layers, config.rootfs.diff_ids
    if len(layers) != len(diff_ids):
        reason = f"{len(diff_ids)} diff_ids for the {len(layers)} layers of the manifest"
        raise InvalidConfigError("image config", "/rootfs/diff_ids", reason)
    return list(zip(layers, diff_ids, strict=True))
