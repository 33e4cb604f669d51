"""Keys, signatures beside an image of a registry that a test serves, and policies."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from pyrun.oci import media_types, signature
from pyrun.oci.signature import Signature
from pyrun.trust import payload, private_key
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document

KEY = private_key.generate()
OTHER_KEY = private_key.generate()


def claim(name: str, digest: str) -> bytes:
    """Return a payload as cosign writes it."""
    return payload.build(digest, name, creator="a test", timestamp=1)


def signed(name: str, digest: str, key: private_key.PrivateKey = KEY) -> Signature:
    """Sign a digest for a name."""
    data = claim(name, digest)
    return Signature(data, key.sign(data), digest)


def manifest_of(*signatures: Signature, **more: Any) -> dict[str, Any]:
    """Make the manifest that holds signatures."""
    layers = [
        {
            "mediaType": signature.SIMPLE_SIGNING,
            "digest": digest_of(item.payload),
            "size": len(item.payload),
            "annotations": {signature.ANNOTATION: item.encoded},
        }
        for item in signatures
    ]
    config = {"mediaType": media_types.OCI_CONFIG, "digest": digest_of(b"{}"), "size": 2}
    return {
        "schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, "config": config, "layers": layers, **more,
    }  # fmt: skip


def serve(registry: HostileRegistry, digest: str, *signatures: Signature, repository: str = "x") -> None:
    """Have signatures at cosign's tag."""
    _, answer = document(manifest_of(*signatures))
    registry.on(f"/v2/{repository}/manifests/{signature.tag_of(digest)}", answer)
    for item in signatures:
        registry.on(f"/v2/{repository}/blobs/{digest_of(item.payload)}", blob(item.payload))


def serve_referrer(registry: HostileRegistry, path: str, digest: str, *signatures: Signature, of: str = "") -> None:
    """Have signatures in a list of referrers at a path; ``of``: what their manifest itself refers to."""
    subject = {"mediaType": media_types.OCI_MANIFEST, "digest": of or digest, "size": 1}
    manifest = manifest_of(*signatures, subject=subject, artifactType=signature.SIGNATURE_ARTIFACT)
    found, answer = document(manifest)
    registry.on(f"/v2/x/manifests/{found}", answer)
    for item in signatures:
        registry.on(f"/v2/x/blobs/{digest_of(item.payload)}", blob(item.payload))
    entry = {
        "mediaType": media_types.OCI_MANIFEST, "digest": found, "size": len(json.dumps(manifest).encode()),
        "artifactType": signature.SIGNATURE_ARTIFACT,
    }  # fmt: skip
    other = {**entry, "digest": "sha256:" + "0" * 64, "artifactType": "application/spdx+json"}
    listed = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [other, entry]}
    registry.on(path, document(listed, media_types.OCI_INDEX)[1])


def requirement(key: private_key.PrivateKey = KEY, **more: Any) -> dict[str, Any]:
    """Ask for a signature by a key."""
    return {"type": "sigstoreSigned", "keyData": b64encode(key.public.pem()).decode(), **more}


def policy(path: Path, *requirements: dict[str, Any], default: str = "reject", scope: str = "") -> str:
    """Write a policy for images of registries; return its path."""
    transports = {"docker": {scope: list(requirements)}} if requirements else {}
    path.write_text(json.dumps({"default": [{"type": default}], "transports": transports}))
    return str(path)
