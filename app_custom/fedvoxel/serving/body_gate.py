"""Turns away a body that is too large, or comes while too many others wait, before any of it is read into memory."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fedvoxel.evaluation.inference.memory import MIB

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application."""

BYTES_PER_BOUND = 9
"""An image that could just be prepared within the bound has a ninth of its bytes: 4 of 36 a voxel."""
MOST_JSON_BYTES = 32 * MIB
"""Of a body that is JSON as a whole: it is read number by number, which takes many times its size."""
_NO_BODY = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Rejection:
    """Is an HTTP status, and why."""

    status: int
    text: str


class BodyGate:
    """Lets requests through to an application, as far as their bodies fit beside those that are under way."""

    def __init__(self, app: App, most_bytes: int) -> None:
        """Opens the gate.

        Args:
            app: What answers.
            most_bytes: Of all bodies that are under way together.
        """
        self._app, self._most_bytes, self._taken = app, most_bytes, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request, or turns it away."""
        if scope["type"] != "http" or scope["method"] in _NO_BODY:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        length = _length(headers)
        rejection = self._rejection(headers, length)
        if rejection is not None:
            await _reply(send, rejection)
            return
        self._taken += length or 0
        try:
            await self._app(scope, receive, send)
        finally:
            self._taken -= length or 0

    def _rejection(self, headers: Mapping[str, str], length: int | None) -> Rejection | None:
        if length is None:
            return Rejection(411, "no_length: expected a request that says its length; send Content-Length")
        is_json = headers.get("content-type", "").startswith("application/json")
        if is_json and length > MOST_JSON_BYTES:
            found = f"expected at most {MOST_JSON_BYTES} bytes of JSON, got {length}"
            return Rejection(413, f"too_large_for_json: {found}; send the image as binary tensor data, or by gRPC")
        if length > self._most_bytes:
            found = f"expected at most {self._most_bytes} bytes, got {length}"
            return Rejection(413, f"too_large_for_memory: {found}; raise --memory-mb of the server, or crop the image")
        if self._taken + length > self._most_bytes:
            return Rejection(503, "busy: other images are waiting and there is no room for more; try again later")
        return None


def _length(headers: Mapping[str, str]) -> int | None:
    """Returns how long a body is; None where nobody says, or in other than ASCII digits."""
    said = headers.get("content-length", "" if "transfer-encoding" in headers else "0")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None


async def _reply(send: Any, rejection: Rejection) -> None:
    content = json.dumps({"error": rejection.text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    # The body was not read: what follows on this connection would be taken for the next request.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": rejection.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
