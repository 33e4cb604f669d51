"""The verb registry inspect: what a registry has under a name, without a copy of it; the shape is skopeo's.

It must not print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pyrun.engine.remote import Repository
from pyrun.errors import InvalidConfigError, NoMatchingPlatformError
from pyrun.oci import json
from pyrun.oci.config import decode_config
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, best_match, host
from pyrun.registry import listing

if TYPE_CHECKING:
    from pyrun.engine.remote import Access
    from pyrun.oci.config import ImageConfig
    from pyrun.oci.descriptor import Descriptor


class Remote(NamedTuple):
    """``chosen``: the bytes of the manifest that was looked into; ``config`` is None for what is no image."""

    chosen: bytes
    config: bytes | None
    shown: dict[str, Any]


def raw(text: str, access: Access) -> bytes:
    """Return the bytes under a name. Raises: RegistryError and its kinds; DigestMismatchError."""
    with Repository(text, access) as repository:
        return repository.resolve()[1]


def inspect(text: str, access: Access, *, platform: str = "", with_tags: bool = True) -> Remote:
    """Tell what is under a name: of an index its platforms, and the image for ``platform`` (default: this machine's).

    Raises: RegistryError and its kinds; NoMatchingPlatformError; InvalidConfigError.
    """
    with Repository(text, access) as repository:
        descriptor, data = repository.resolve()
        top = decode_manifest(data, descriptor.media_type)
        found, chosen, manifest = _image(repository, descriptor, data, top, platform)
        config = repository.client.blob_bytes(repository.path, manifest.config) if manifest.is_image else None
        shown: dict[str, Any] = {"Name": repository.name, "Digest": descriptor.digest}
        shown["MediaType"] = descriptor.media_type
        shown["RepoTags"] = list(listing.tags(repository.client, repository.path)) if with_tags else []
        if isinstance(top, Index):
            shown["Platforms"] = [_platform(item, repository) for item in top.manifests]
            shown["Manifest"] = found.digest
        shown |= _of_config(decode_config(config)) if config is not None else {}
        shown["Config"] = manifest.config.digest
        shown["Layers"] = [layer.digest for layer in manifest.layers]
        shown["LayersData"] = [
            {
                "MIMEType": layer.media_type, "Digest": layer.digest, "Size": layer.size,
                "Annotations": layer.annotations or None,
            }
            for layer in manifest.layers
        ]  # fmt: skip
        shown["Size"] = sum(layer.size for layer in manifest.layers)
        return Remote(chosen, config, shown)


def choose(index: Index, wanted: Platform, name: str) -> Descriptor:
    """Return the entry of an index for a platform. Raises: NoMatchingPlatformError."""
    entry = best_match(index.manifests, wanted)
    if entry is None:
        there = sorted({str(Platform.of(item.platform)) for item in index.manifests if item.platform is not None})
        raise NoMatchingPlatformError(
            f"no image for {wanted}: {name}: there is {', '.join(there) or 'no platform that it names'}",
            registry="",
            hint="choose another one with --platform",
        )
    return entry


def _image(
    repository: Repository, descriptor: Descriptor, data: bytes, document: Manifest | Index, platform: str
) -> tuple[Descriptor, bytes, Manifest]:
    if isinstance(document, Manifest):
        return descriptor, data, document
    wanted = Platform.parse(platform) if platform else host(with_variant=True)
    entry = choose(document, wanted, repository.reference.familiar)
    data = repository.manifest(entry)
    inner = decode_manifest(data, entry.media_type)
    if not isinstance(inner, Manifest):
        raise InvalidConfigError("image index", "/manifests", "an index in an index is not supported")
    return entry, data, inner


def _platform(entry: Descriptor, repository: Repository) -> dict[str, Any]:
    platform = str(Platform.of(entry.platform)) if entry.platform is not None else ""
    return {
        "Platform": platform, "Name": f"{repository.name}@{entry.digest}", "Digest": entry.digest, "Size": entry.size,
        "MediaType": entry.media_type, **({"Annotations": entry.annotations} if entry.annotations else {}),
    }  # fmt: skip


def _of_config(config: ImageConfig) -> dict[str, Any]:
    inner = config.config
    return {
        "Created": config.created or "",
        "DockerVersion": "",
        "Labels": (inner.labels if inner else None) or None,
        "Architecture": config.architecture,
        "Os": config.os,
        **({"Variant": config.variant} if config.variant else {}),
        "Env": list((inner.env if inner else None) or []) or None,
    }


def config_bytes(found: Remote) -> bytes:
    """Return an image's config as it is. Raises: InvalidConfigError where it is no image."""
    if found.config is None:
        raise InvalidConfigError("image manifest", "/config/mediaType", "this is no image, and has no image's config")
    return found.config


def config_document(found: Remote) -> Any:
    """Return an image's config. Raises: as `config_bytes`."""
    return json.loads(config_bytes(found))
