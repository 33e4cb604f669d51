"""Why a registry could not be reached, and what mends it: one sentence for each way to fail.

It must not know how a connection is made.
"""

from __future__ import annotations

import http.client
import socket

from pyrun.errors import RegistryUnreachableError
from pyrun.registry.url import INSECURE_VARIABLE, Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.registry.proxy import Proxy

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0

# X509_verify_cert_error_string(3): nobody known vouches for it; every other code is the certificate's own fault.
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21, 27})
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAME = frozenset({62, 64})


def unreachable(error: Exception, url: Url, proxy: Proxy | None = None) -> RegistryUnreachableError:
    """Make the error for a connection that could not be made, or that ended with TLS's refusal."""
    reason, hint = _tls_failure(error, url) or _failure(error, url, proxy)
    message = f"cannot reach registry: {url.authority}: {reason}"
    return RegistryUnreachableError(message, registry=url.authority, hint=hint)


def reason_of(error: Exception) -> str:
    """Say in a few words what happened to a connection."""
    if isinstance(error, TimeoutError):
        return f"no answer for {READ_SECONDS:.0f} seconds"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection"
    tls_reason = getattr(error, "reason", None)  # ssl.SSLError's, in capitals and underscores
    if isinstance(error, OSError) and isinstance(tls_reason, str):
        return tls_reason.lower().replace("_", " ")
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).lower()


def is_refused_by_tls(error: BaseException | None) -> bool:
    """Say whether TLS was spoken, and a certificate was refused: the server's by us, or ours by the server."""
    try:
        import ssl
    except ImportError:  # Python was built without: there is no TLS to fail
        return False
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    # RFC 8446 section 6: the alerts of a server that wants another client certificate, or one at all.
    words = str(error.reason or "") if isinstance(error, ssl.SSLError) else ""
    return "ALERT" in words and any(word in words for word in ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE"))


def _failure(error: Exception, url: Url, proxy: Proxy | None) -> tuple[str, str]:
    reason, hint = reason_of(error), ""
    if isinstance(error, socket.gaierror):
        reason, hint = "host name not known", "check the spelling of the registry and the machine's DNS"
    elif isinstance(error, ConnectionRefusedError):
        reason, hint = "connection refused", "is the registry running, and is the port right?"
    elif isinstance(error, TimeoutError):
        reason, hint = f"no connection within {CONNECT_SECONDS:.0f} seconds", "check the network, and HTTPS_PROXY"
    if proxy is None:
        return reason, hint
    if "407" in reason:
        hint = f"give the proxy's user and password: {proxy.variable}=http://USER:PASSWORD@{proxy.authority}"
    else:
        hint = f"check {proxy.variable}, or name the registry in NO_PROXY"
    return f"{reason} (proxy {proxy.authority})", hint


def _tls_failure(error: Exception, url: Url) -> tuple[str, str] | None:
    import ssl  # http.client has it already

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}", _trust_hint(error.verify_code, url)
    if is_refused_by_tls(error):
        from pyrun.registry import tls

        directory = tls.directory_of(url.authority)
        said = reason_of(error)
        hint = f"put the certificate into {directory}/client.cert and its key into {directory}/client.key"
        return f"it refuses the connection without a client certificate that it knows: {said}", hint
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        hint = f"if plain HTTP is meant: {INSECURE_VARIABLE}={url.authority}, or insecure = true in registries.conf"
        return "it does not speak TLS (http answer to an https request)", hint
    return None


def _trust_hint(code: int, url: Url) -> str:
    if code in _UNKNOWN_AUTHORITY:
        from pyrun.registry import tls

        return f"put the certificate of its authority into {tls.directory_of(url.authority)}/ca.crt"
    if code in (_EXPIRED, _NOT_YET_VALID):
        return "is this machine's clock right? Else its owner must renew it"
    if code in _OTHER_NAME:
        return "the certificate is of another host: check the spelling of the registry"
    return ""
