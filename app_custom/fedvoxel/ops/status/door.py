"""Answers over HTTPS whoever shows a certificate of the consortium, and nobody else; what it answers only reads.

Who looks is judged for each request, before anything is read for them. The page asks for nothing outside itself, is
kept by no browser, and is shown in no foreign frame.
"""

import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from datetime import UTC, datetime
from importlib.resources import files

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from fedvoxel.errors import FedVoxelError
from fedvoxel.export.trust import Signer
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.status.agreement import Agreement, load_agreement
from fedvoxel.ops.status.entrance import viewer_of
from fedvoxel.ops.status.facts import Facts, collect
from fedvoxel.ops.status.page import render_status
from fedvoxel.ops.status.sight import seen_by

CERTIFICATE = "certificate"
"""Under which name a connection's certificate (DER, or None) is in the state of a request."""

REFUSED = (
    "Your certificate does not open this page: it is of another consortium, not valid any more, revoked, or not a "
    "person's or a site's; or the server's revocation list has to be renewed. The consortium's operator sees in the "
    "server's log which."
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_STATIC = {"status.css": "text/css", "status.js": "text/javascript", "icon.svg": "image/svg+xml"}
_READ_EVERY_S = 2.0
_AGREEMENT = "what hospitals see of one another (the agreement is damaged, and the least is shown)"

_logger = logging.getLogger(__name__)


class Door:
    """Is the ASGI application."""

    def __init__(self, kit: Kit) -> None:
        """Takes the server's kit, which is read anew for each answer, but at most every two seconds."""
        self._kit, self._key, self._lock = kit, secrets.token_bytes(32), threading.Lock()
        self._facts: Facts | None = None
        self._read_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http":
            answer = await run_in_threadpool(self.answer, scope["method"], scope["path"], scope["state"][CERTIFICATE])
            await answer(scope, receive, send)

    def answer(self, method: str, path: str, certificate: bytes | None) -> Response:
        """Returns the answer to a request.

        Args:
            method: Of HTTP.
            path: What is asked for.
            certificate: What the connection's other end has proved to own (DER).
        """
        answer = self._answer(method, path, certificate)
        answer.headers.update(HEADERS)
        return answer

    def _answer(self, method: str, path: str, certificate: bytes | None) -> Response:
        try:
            viewer = viewer_of(certificate, self._kit, datetime.now(UTC))
        except FedVoxelError as error:
            _logger.warning("event=viewer_refused reason=%s", " ".join(str(error).split()))
            return PlainTextResponse(REFUSED, 403)
        if method != "GET":
            return PlainTextResponse("This page can only be read.", 405, {"allow": "GET"})
        folder, _, name = path.removeprefix("/").rpartition("/")
        if folder == "static" and name in _STATIC:
            content = files("fedvoxel.ops.status").joinpath("static", name).read_bytes()
            return Response(content, media_type=_STATIC[name])
        if path == "/":
            return HTMLResponse(render_status(self._seen(viewer)))
        if path == "/status.json":
            text = json.dumps(self._seen(viewer), ensure_ascii=False, allow_nan=False)
            return Response(text, media_type="application/json")
        return PlainTextResponse("There is no such page.", 404)

    def _seen(self, viewer: Signer) -> dict[str, object]:
        agreement, trouble = self._agreement()
        seen = seen_by(viewer, self._now(), agreement, lambda site: self._pseudonym(viewer, site))
        return seen | {"not_shown": [*seen["not_shown"], *trouble]}

    def _agreement(self) -> tuple[Agreement, list[str]]:
        try:
            return load_agreement(self._kit.local), []
        except FedVoxelError as error:
            _logger.error("event=agreement_damaged reason=%s", " ".join(str(error).split()))
            return Agreement(), [_AGREEMENT]

    def _now(self) -> Facts:
        with self._lock:
            if self._facts is None or time.monotonic() - self._read_at >= _READ_EVERY_S:
                self._facts, self._read_at = collect(self._kit, datetime.now(UTC)), time.monotonic()
            return self._facts

    def _pseudonym(self, viewer: Signer, site: str) -> str:
        """Returns a word that nobody can work out, nor compare with what another hospital sees."""
        said = f"{viewer.organisation}\0{site}".encode()
        return f"site {hmac.new(self._key, said, hashlib.sha256).hexdigest()[:8]}"
