"""An OpenID Connect provider on loopback that does what the standard says, unless a test tells it to lie."""

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.tls_files import Identity

CLIENT, SECRET = "fedvoxel-review", "s3cret/with:odd+signs"
PERSON = {"sub": "248289761001", "preferred_username": "a.miller", "email": "a.miller@hospital.example"}
KEY, FOREIGN_KEY = (RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"}) for kid in ("one", "one"))


def part(value: bytes | dict[str, Any]) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)


def unsigned(claims: dict[str, Any]) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}."


def signed_by_another(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, FOREIGN_KEY)


def signed_with(secret: bytes) -> Callable[[dict[str, Any]], str]:
    def sign(claims: dict[str, Any]) -> str:
        head = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims)}"
        return f"{head}.{part(hmac.digest(secret, head.encode(), 'sha256'))}"

    return sign


@dataclass
class HospitalProvider:
    """Says who came; each attribute can be changed between two sign-ins.

    Attributes:
        issuer: Its address.
        person: Who sits before the browser.
        claims: What the token says otherwise than it should; a None takes a claim out.
        sign: Makes the token.
        description: What its description says otherwise than it should.
        keys: What it publishes.
        answers: For a path, a status and a body that it gives instead of its own.
        redirect: What goes back with the browser otherwise than it should.
        secret: What its client proves itself with.
        drip_s: How long it waits after each byte.
        asked: What it was asked, in order.
    """

    issuer: str
    person: dict[str, Any] = field(default_factory=lambda: dict(PERSON))
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] = signed
    description: dict[str, Any] = field(default_factory=dict)
    keys: Any = field(default_factory=lambda: {"keys": [KEY.as_dict(private=False)]})
    answers: dict[str, tuple[int, bytes | str]] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    secret: str | None = None
    drip_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, path: str, question: dict[str, str], authorization: str = "") -> tuple[int, bytes | str]:
        """Returns status and JSON, or a status and where the browser is sent."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path == "/authorize":
            return 302, self._authorize(question)
        if path == "/token":
            status, said = self._token(question, authorization)
            return status, json.dumps(said).encode()
        said = self.keys if path == "/keys" else self._description()
        return 200, json.dumps(said).encode()

    def _description(self) -> dict[str, Any]:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "something_else": True,
        }
        return said | self.description

    def _authorize(self, question: dict[str, str]) -> str:
        """Signs the person in without asking anything."""
        assert question["response_type"] == "code" and question["client_id"] == CLIENT, question
        assert question["code_challenge_method"] == "S256" and "openid" in question["scope"].split(), question
        code = secrets.token_urlsafe(16)
        self.codes[code] = question
        back = {"code": code, "state": question["state"], **self.redirect}
        return f"{question['redirect_uri']}?{urlencode(back)}"

    def _token(self, question: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        begun = self.codes.pop(question["code"], None)
        if not self._is_client(question, authorization):
            return 401, {"error": "invalid_client"}
        verified = part(hashlib.sha256(question["code_verifier"].encode()).digest())
        if (
            begun is None
            or question["grant_type"] != "authorization_code"
            or question["redirect_uri"] != begun["redirect_uri"]
            or verified != begun["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": begun["nonce"]}
        claims |= self.person | self.claims
        token = self.sign({name: value for name, value in claims.items() if value is not None})
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": token}

    def _is_client(self, question: dict[str, str], authorization: str) -> bool:
        name, secret = question.get("client_id"), question.get("client_secret")
        if authorization:
            assert name is None and secret is None, "a client proves itself in one way"
            said = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            name, secret = (unquote_plus(word) for word in said.split(":", 1))
        return (name, secret) == (CLIENT, self.secret)


class _Handler(BaseHTTPRequestHandler):
    provider: HospitalProvider

    def do_GET(self) -> None:
        self._reply(self.path.partition("?")[2])

    def do_POST(self) -> None:
        self._reply(self.rfile.read(int(self.headers["content-length"])).decode())

    def _reply(self, text: str) -> None:
        question = {name: values[0] for name, values in parse_qs(text).items()}
        path, authorization = urlsplit(self.path).path, self.headers.get("authorization", "")
        status, said = self.provider.answer(path, question, authorization)
        self.send_response(status)
        if isinstance(said, str):
            self.send_header("location", said)
            said = b""
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        if not self.provider.drip_s:
            self.wfile.write(said)
            return
        with suppress(OSError):  # who asked may have gone
            for byte in said:
                self.wfile.write(bytes([byte]))
                time.sleep(self.provider.drip_s)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def hospital_provider(tls: Identity | None = None) -> Iterator[HospitalProvider]:
    """Starts the provider on localhost, another site than 127.0.0.1; over TLS with a certificate."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    provider = HospitalProvider(f"http{'s' if tls else ''}://localhost:{server.server_address[1]}")
    handler.provider = provider  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
