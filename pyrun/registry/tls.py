"""TLS contexts: the system's trust, certificates of certs.d, and registries named as insecure.

It must not know how a request is made. Imported only for https: truststore costs 4 ms more.
Source: dockerd's "Verify repository client with certificates", containers-certs.d(5).
"""

from __future__ import annotations

import os
import ssl

from pyrun.errors import RegistryError
from pyrun.registry.settings import config_homes
from pyrun.registry.url import DOCKER_HUB, authority_of


def context(authority: str, *, verify: bool, directory: str = "") -> ssl.SSLContext:
    """Make a TLS context for one registry; ``directory``: where its certificates are, instead of in certs.d.

    Raises:
        RegistryError: a file of certs.d cannot be used, or half of a pair is missing.
    """
    made: ssl.SSLContext
    if verify:
        import truststore

        made = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    has_pair = False
    for place in [directory] if directory else _places(authority):
        names = _listed(place, authority)
        if verify:
            _load_authorities(made, place, names, authority)
        if not has_pair:  # the first directory that has one decides: the user's before the machine's
            has_pair = _load_pairs(made, place, names, authority)
    return made


def _places(authority: str) -> list[str]:
    return [f"{directory}/{name}" for directory in certificate_directories() for name in _names(authority)]


def certificate_directories() -> list[str]:
    """List the certs.d directories of docker and podman, the user's first."""
    configs = [*config_homes(), "/etc"]
    return [f"{config}/{tool}/certs.d" for config in configs for tool in ("containers", "docker")]


def directory_of(authority: str) -> str:
    """Give the directory into which a user can put certificates for a registry."""
    return f"{certificate_directories()[0]}/{authority}"


def _names(authority: str) -> list[str]:
    """List what the directory of a registry may be called: a reference may name the usual port, and Hub by its name."""
    if authority == authority_of(DOCKER_HUB):
        return [DOCKER_HUB, authority]
    has_port = authority.rpartition("]")[2].count(":") > 0
    return [authority] if has_port else [authority, f"{authority}:443"]


def _listed(directory: str, authority: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []  # nothing is configured for this registry
    except OSError as error:
        raise _unusable(directory, (error.strerror or "").lower(), authority) from error


def _load_authorities(target: ssl.SSLContext, directory: str, names: list[str], authority: str) -> None:
    for name in names:
        if name.endswith(".crt"):
            path = f"{directory}/{name}"
            try:
                target.load_verify_locations(cafile=path)
            except OSError as error:  # ssl.SSLError is one
                raise _unusable(path, _reason(error, "no certificate in PEM form"), authority) from error


def _load_pairs(target: ssl.SSLContext, directory: str, names: list[str], authority: str) -> bool:
    pairs = [name.removesuffix(".cert") for name in names if name.endswith(".cert")]
    for name in [f"{pair}.cert" for pair in pairs] + [name for name in names if name.endswith(".key")]:
        stem, _, kind = name.rpartition(".")
        other = f"{stem}.{'key' if kind == 'cert' else 'cert'}"
        if other not in names:
            hint = f"put {other} beside it, or remove it; a CA's certificate is named *.crt"
            raise _unusable(f"{directory}/{name}", f"{other} is missing", authority, hint)
    for pair in pairs:
        certificate, key = f"{directory}/{pair}.cert", f"{directory}/{pair}.key"
        try:
            target.load_cert_chain(certificate, key, password=_no_password)
        except _EncryptedError:
            raise _unusable(
                key, "it is encrypted", authority, "keep it decrypted there, readable by you alone"
            ) from None
        except OSError as error:
            why = _reason(error, f"no certificate in PEM form, or {pair}.key is not its key")
            # OpenSSL does not say which of the two cannot be opened.
            is_key = not isinstance(error, ssl.SSLError) and os.access(certificate, os.R_OK)
            raise _unusable(key if is_key else certificate, why, authority) from error
    return bool(pairs)


class _EncryptedError(Exception):
    """A key wants a pass phrase: OpenSSL would ask for it on the terminal, in the middle of a pull."""


def _no_password() -> str:
    raise _EncryptedError


def _reason(error: OSError, otherwise: str) -> str:
    return otherwise if isinstance(error, ssl.SSLError) else (error.strerror or str(error)).lower()


def _unusable(path: str, reason: str, authority: str, hint: str = "") -> RegistryError:
    return RegistryError(f"cannot load certificate: {path}: {reason}", registry=authority, hint=hint)
