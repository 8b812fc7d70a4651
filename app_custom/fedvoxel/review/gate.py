"""Stands before every page: refuses what does not come from this server's own pages, and says what pages may do.

A browser elsewhere in the hospital cannot reach the server (it listens on 127.0.0.1), and another site in the same
browser cannot use it: a foreign Host (DNS rebinding), a foreign origin, or a missing cookie is refused. What readers
see is never kept by the browser, asks for nothing outside, and is shown in no foreign frame.
"""

from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedvoxel.review.access import Access

ENTER = "/enter"
"""Where a link leads; the one address that needs no cookie."""

MOST_BODY_BYTES = 2**20

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
POLICY_3D = POLICY.replace("img-src 'self' blob:", "img-src 'self' blob: data:")
"""Of the page with the 3-D viewer, which has its font in a data: address."""

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_ASK_FOR_LINK = (
    "This page needs the link that `fedvoxel review` printed. A link works once; after that the program prints the "
    "next one in its terminal. Copy the newest link from there."
)


class Gate:
    """Is the ASGI application that lets a request through to `app`, or answers itself."""

    def __init__(self, app: ASGIApp, access: Access, port: int) -> None:
        """Takes the application behind it.

        Args:
            app: What answers readers.
            access: Who may enter.
            port: The port that this server is asked on.
        """
        self._app, self._access = app, access
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.cookie = f"fedvoxel-review-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        answer: Any = self._app if refusal is None else refusal
        await answer(scope, receive, self._with_headers(scope, send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("This server answers under its own address only.", 421)
        if not self._is_own(scope, headers, host):
            return PlainTextResponse("This request does not come from a page of this server.", 403)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > MOST_BODY_BYTES:
            return JSONResponse({"error": "the request is too large"}, 413)
        if scope["path"] == ENTER:
            return None
        reader = self._access.reader_of(self._session(headers))
        if reader is None:
            return PlainTextResponse(_ASK_FOR_LINK, 401)
        scope.setdefault("state", {})["reader"] = reader
        return None

    def _is_own(self, scope: Scope, headers: Headers, host: str) -> bool:
        """Says whether a request can come from a page of this server, or from the address bar."""
        if scope["method"] in ("GET", "HEAD"):
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin") or scope["path"] == ENTER
        return scope["method"] == "POST" and headers.get("origin") == f"http://{host}"

    def _session(self, headers: Headers) -> str | None:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return None
        return found.value if found else None

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        policy = POLICY_3D if scope["path"] == "/three" else POLICY

        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = policy
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        return sender
