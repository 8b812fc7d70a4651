"""Stands before every page: refuses what does not come from this server's own pages, and says what pages may do.

A browser elsewhere in the hospital cannot reach the server (it listens on 127.0.0.1, and only a proxy on this machine
can publish it), and another site in the same browser cannot use it: a foreign Host (DNS rebinding), a foreign origin,
or a missing cookie is refused. What readers see is never kept by the browser, asks for nothing outside, and is shown in
no foreign frame.
"""

from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol

from fastapi import APIRouter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedvoxel.review.access import Access
from fedvoxel.review.notice import NEEDED
from fedvoxel.review.page_address import PageAddress

SIGNED_OUT = "/signed-out"

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


class WayIn(Protocol):
    """Is how readers come in: by a link, or through the hospital's sign-in.

    Attributes:
        access: Who is in.
        address: Under which address the page may be asked for.
        entrances: Addresses that need no session.
        linkable: Addresses that pages of other sites may lead to.
        farewell: What who signs out is told.
        back: Where who signed out comes in again: address and label.
    """

    @property
    def access(self) -> Access: ...  # noqa: D102 - see the class

    @property
    def address(self) -> PageAddress: ...  # noqa: D102

    @property
    def entrances(self) -> frozenset[str]: ...  # noqa: D102

    @property
    def linkable(self) -> frozenset[str]: ...  # noqa: D102

    @property
    def farewell(self) -> str: ...  # noqa: D102

    @property
    def back(self) -> tuple[str, str]: ...  # noqa: D102

    def routes(self) -> APIRouter:
        """Returns the entrances."""

    def ask_in(self, path: str) -> Response:
        """Returns what who has no session is told."""


class Gate:
    """Is the ASGI application that lets a request through to `app`, or answers itself."""

    def __init__(self, app: ASGIApp, way: WayIn) -> None:
        """Takes the application behind it.

        Args:
            app: What answers readers.
            way: How they come in.
        """
        self._app, self._way = app, way
        self._open = way.entrances | NEEDED | {SIGNED_OUT}

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
        origin = self._way.address.origins.get(host)
        if origin is None:
            return PlainTextResponse("This server answers under its own address only.", 421)
        if not self._is_own(scope, headers, origin):
            return PlainTextResponse("This request does not come from a page of this server.", 403)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not _is_short_enough(length):
            return JSONResponse({"error": "the request is too large"}, 413)
        if scope["path"] in self._open:
            return None
        session = self._session(headers)
        reader = self._way.access.reader_of(session)
        if reader is None:
            return self._way.ask_in(scope["path"])
        scope.setdefault("state", {}).update(reader=reader, session=session)
        return None

    def _is_own(self, scope: Scope, headers: Headers, origin: str) -> bool:
        """Says whether a request can come from a page of this server, or from the address bar."""
        if scope["method"] not in ("GET", "HEAD"):
            return bool(scope["method"] == "POST" and headers.get("origin") == origin)
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return True
        # Others may lead a person here, and may not draw in what is here (a picture, a frame, a script).
        return scope["path"] in self._way.linkable and headers.get("sec-fetch-dest", "document") == "document"

    def _session(self, headers: Headers) -> str | None:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._way.address.cookie)
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


def _is_short_enough(length: str) -> bool:
    """Says whether a body of this Content-Length is read. Python takes digits of other scripts for digits, too."""
    return length.isascii() and length.isdigit() and len(length) < 20 and int(length) <= MOST_BODY_BYTES
