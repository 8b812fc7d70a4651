"""What a browser, or whoever stands in for one, sends to the review page."""

import asyncio
import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from fedvoxel.review.access import Access
from fedvoxel.review.app import make_app
from fedvoxel.review.links import Links
from tests.fuzz.mutation import PLANTED, mutated_bytes, mutated_text
from tests.fuzz.target import Target, UnwantedError
from tests.review.reading_sample import desk_of, said, stroke, write_reading

_CASE, _PORT = "case-000000000000", 8765
_HOST = f"127.0.0.1:{_PORT}"
_ACTIVE = {"visit": "@visit@", "active_s": 1.0}
_BODIES: dict[str, dict[str, Any]] = {
    "begin": {**_ACTIVE, "candidate": "model", "revision": "@revision@"},
    "edit": {**_ACTIVE, "revision": "@revision@", "action": "paint", "stroke": stroke()},
    "measure": {**_ACTIVE, "plane": "axial", "index": 3, "start": [1.0, 2.0], "end": [3.0, 4.0]},
    "unmeasure": _ACTIVE,
    "time": _ACTIVE,
    "draft": {**_ACTIVE, "draft": {"judgements": [], "preferred": None, "note": "x"}},
    "answer": {**_ACTIVE, "said": said(model="accept", manual="reject")},
    "visit": {},
}
_PATHS = (
    *(
        "/",
        "/case",
        "/static/case.js",
        "/static/..%2fapp.py",
        "/static/../app.py",
        "/api/reading",
        "/enter",
        "/viewer/x",
    ),
    *(f"/api/cases/{_CASE}/image/axial/12.png", f"/api/cases/{_CASE}/label/model/axial/12", "/three"),
    *(f"/api/cases/{_CASE}/label/../../x/axial/-1", f"/api/cases/{_CASE}/image/axial/{'9' * 5000}.png"),
    *("/api/cases/../../etc/passwd/visit", f"/api/cases/{PLANTED}/visit", f"/api/cases/{_CASE}/volume/model.nii"),
    *(f"/api/cases/{_CASE}/image/oblique/1.png", "/api/cases//visit", "//", "/\x00", "/%00", "/api/sign-out"),
)
_Request = tuple[str, str, str, list[tuple[str, bytes]], bytes]


@st.composite
def _requests(draw: st.DrawFn) -> _Request:
    """Method, path, query, further headers and body."""
    if draw(st.integers(0, 3)):
        name = draw(st.sampled_from(tuple(_BODIES)))
        body = draw(mutated_text((_BODIES[name],)))
        return "POST", f"/api/cases/{_CASE}/{name}", "", _headers(draw), body[: 2**20]
    method = draw(st.sampled_from(("GET", "POST", "HEAD", "PUT", "TRACE", "\x00")))
    query = draw(st.sampled_from(("", "level=1&width=0", "level=nan", "width=1e999&level=x", "token=" + "x" * 5000)))
    return method, draw(st.sampled_from(_PATHS)), query, _headers(draw), draw(mutated_bytes((b"{}", b"")))


def _headers(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    values = st.sampled_from((b"0", b"\xb2", b"9" * 5000, b"-1", b"", b"x=1; y", b"\xff\xfe", b"text/plain", b"none"))
    names = st.sampled_from(("content-length", "content-type", "cookie2", "sec-fetch-site", "range", "x-forwarded-for"))
    return draw(st.lists(st.tuples(names, values), max_size=2)) if draw(st.integers(0, 4)) == 0 else []


@cache
def _sample() -> Path:
    return write_reading(Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "prepared", cases=1)


def _ask(request: _Request, folder: Path) -> None:
    """A visit, and then the request: every answer is a status of ours. What earlier requests have done stays."""
    app, cookie = _session(folder.parent)
    _, _, opened = _sent(app, ("POST", f"/api/cases/{_CASE}/visit", "", [], b"{}"), cookie)
    facts = json.loads(opened)
    visit, revision = facts["visit"].encode(), facts["edit"]["revision"]
    method, path, query, extra, body = request
    status, _, answer = _sent(app, (method, path, query, extra, _fresh(body, visit, revision)), cookie)
    if status >= 500 and status != 507:
        raise UnwantedError(f"status {status}")
    if b"Traceback" in answer or str(folder).encode() in answer:
        raise UnwantedError("an answer that shows a traceback or a path")
    if status >= 400:
        raise _RefusedError


class _RefusedError(Exception):
    pass


def _fresh(body: bytes, visit: bytes, revision: int) -> bytes:
    return body.replace(b"@visit@", visit).replace(b'"@revision@"', str(revision).encode())


@cache
def _session(place: Path) -> tuple[Any, str]:
    """The application of this process, and a reader's cookie."""
    access = Access()
    app = make_app(desk_of(_sample(), place / "study"), Links(access, _PORT))
    _, headers, _ = _sent(app, ("GET", "/enter", f"token={access.invite('anna')}", [], b""), "")
    return app, dict(headers)["set-cookie"].split(";")[0]


def _sent(app: Any, request: _Request, cookie: str) -> tuple[int, list[tuple[str, str]], bytes]:
    method, path, query, extra, body = request
    headers = [("host", _HOST.encode()), ("cookie", cookie.encode()), ("content-type", b"application/json")]
    headers += [("origin", f"http://{_HOST}".encode()), ("content-length", str(len(body)).encode())]
    named = {name for name, _ in extra}
    headers = [pair for pair in headers if pair[0] not in named] + extra
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": [(name.encode(), value) for name, value in headers],
        "scheme": "http", "server": ("127.0.0.1", _PORT), "client": ("127.0.0.1", 5), "root_path": "", "asgi": {},
    }  # fmt: skip
    got: list[dict[str, Any]] = []

    waiting = [{"type": "http.disconnect"}, {"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop() if len(waiting) > 1 else waiting[0]

    async def send(message: dict[str, Any]) -> None:
        got.append(message)

    asyncio.run(app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in got[1:])
    return got[0]["status"], [(name.decode(), value.decode()) for name, value in got[0]["headers"]], content


TARGETS = (Target("requests", "pages", _requests(), _ask, (_RefusedError,)),)
