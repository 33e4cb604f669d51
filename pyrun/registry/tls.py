"""TLS contexts: the system's trust, certificates of certs.d, and registries named as insecure.

It must not know how a request is made. Imported only for https: truststore costs 4 ms more.
Source: dockerd's "Verify repository client with certificates", containers-certs.d(5).
"""

from __future__ import annotations

import os
import ssl

from pyrun.errors import RegistryError


def context(authority: str, *, verify: bool) -> ssl.SSLContext:
    """Make a TLS context for one registry.

    Raises:
        RegistryError: a file of certs.d cannot be used.
    """
    if not verify:
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        return unverified
    import truststore

    verified = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for directory in certificate_directories():
        _load(verified, os.path.join(directory, authority), authority)
    return verified


def certificate_directories() -> list[str]:
    """List the certs.d directories of docker and podman, the user's first."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [
        os.path.join(config, "containers/certs.d"),
        os.path.join(config, "docker/certs.d"),
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
    ]


def _load(target: ssl.SSLContext, directory: str, authority: str) -> None:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return  # no such directory: nothing is configured for this registry
    for name in names:
        path = os.path.join(directory, name)
        try:
            if name.endswith(".crt"):
                target.load_verify_locations(cafile=path)
            elif name.endswith(".cert") and f"{name[:-5]}.key" in names:
                target.load_cert_chain(path, f"{path[:-5]}.key")
        except OSError as error:  # ssl.SSLError is one
            raise RegistryError(f"cannot load certificate: {path}: {error}", registry=authority) from error
