"""A token service as docker's specification has it: signed tokens that docker-registry's `auth: token` verifies.

Source: distribution "Docker Registry v2 authentication via central service", "Token Authentication Implementation".
"""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.registry_hostile import Handler, HostileRegistry

SERVICE, ISSUER = "the registry", "the issuer"


class TokenServer(HostileRegistry):
    """Knows one user, who may do anything; ``asked_for`` holds the parameters of each request.

    ``lifetimes``: seconds of the next tokens, negative ones are over; ``refresh`` is granted in place of a password.
    """

    def __init__(self, directory: Path, user: str, password: str) -> None:
        super().__init__()
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = directory / "token.crt", directory / "token.key"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=issuer",
                "-keyout", str(self._key), "-out", str(self.certificate),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        self._user, self._password = user, password
        self.refresh = ""
        self.lifetimes: list[float] = []
        self.asked_for: list[dict[str, list[str]]] = []
        self.on("/token", self._answer)

    @property
    def auth(self) -> str:
        """What docker-registry is configured with."""
        realm = f"http://{self.domain}/token"
        return (
            f"{{token: {{realm: '{realm}', service: '{SERVICE}', issuer: '{ISSUER}', "
            f"rootcertbundle: '{self.certificate}'}}}}"
        )

    def _answer(self, handler: Handler) -> None:
        seen = self.seen[-1]
        fields = parse_qs(seen.body.decode() if handler.command == "POST" else urlsplit(seen.path).query)
        self.asked_for.append(fields)
        is_known = self._is_known(handler, fields)
        if is_known is None:
            handler.send(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
            return
        wanted = [scope for value in fields.get("scope", []) for scope in value.split()]
        access = [dict(zip(("type", "name"), scope.split(":")[:2], strict=True)) for scope in wanted if is_known]
        for row, scope in zip(access, wanted, strict=False):
            row["actions"] = scope.rpartition(":")[2].split(",")  # type: ignore[assignment]
        answer = {"token": self._sign(access), "expires_in": 300}
        if self.refresh and "offline_token" in fields:
            answer["refresh_token"] = self.refresh
        handler.send(200, json.dumps(answer).encode(), Content_Type="application/json")

    def _is_known(self, handler: Handler, fields: dict[str, list[str]]) -> bool | None:
        """True for the user, False for nobody in particular, None for wrong credentials."""
        if handler.command == "POST":
            return True if fields.get("refresh_token") == [self.refresh] and self.refresh else None
        given = handler.headers.get("Authorization", "")
        if not given:
            return False
        return True if b64decode(given.removeprefix("Basic ")).decode() == f"{self._user}:{self._password}" else None

    def _sign(self, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        lifetime = self.lifetimes.pop(0) if self.lifetimes else 300
        lines = self.certificate.read_text().splitlines()[1:-1]
        head = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines)]}
        claims = {
            "iss": ISSUER, "sub": self._user, "aud": SERVICE, "exp": int(now + lifetime), "nbf": now - 1000, "iat": now,
            "jti": str(len(self.asked_for)), "access": access,
        }  # fmt: skip
        text = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        sign = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(sign, input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
