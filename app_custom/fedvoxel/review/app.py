"""Puts the server's pages together: static files, what they ask for, and the gate before all of it."""

from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from fedvoxel.errors import FedVoxelError, ReviewError
from fedvoxel.review.case_record import ConflictError
from fedvoxel.review.desk import Desk
from fedvoxel.review.edit_routes import EditRoutes
from fedvoxel.review.gate import SIGNED_OUT, Gate, WayIn
from fedvoxel.review.notice import notice
from fedvoxel.review.picture_routes import PictureRoutes
from fedvoxel.review.reading_routes import ReadingRoutes
from fedvoxel.review.viewer_package import installed_viewer
from fedvoxel.review.visits import Visits

STATIC = Path(str(files("fedvoxel.review").joinpath("static")))
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_app(desk: Desk, way: WayIn) -> Gate:
    """Returns the application.

    Args:
        desk: The cases.
        way: How readers come in.
    """
    # Without redirects of its own, which would name the scheme that the proxy used, and not the browser.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    _add_pages(app, desk)
    _add_way_out(app, way)
    app.include_router(way.routes())
    visits = Visits()
    for group in (ReadingRoutes(desk, visits), EditRoutes(desk, visits), PictureRoutes(desk)):
        app.include_router(group.routes())
    app.add_exception_handler(FedVoxelError, _said)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(OSError, _disk_trouble)
    return Gate(app, way)


def _add_way_out(app: FastAPI, way: WayIn) -> None:
    @app.post("/api/sign-out")
    def sign_out(request: Request) -> Response:
        way.access.leave(request.state.session)
        answer = JSONResponse({})
        address = way.address
        answer.delete_cookie(address.cookie, path="/", secure=address.secure, httponly=True, samesite="strict")
        return answer

    @app.get(SIGNED_OUT)
    def signed_out() -> Response:
        return notice("Signed out", f"Everything is kept. {way.farewell}", way.back)


def _add_pages(app: FastAPI, desk: Desk) -> None:
    @app.get("/")
    def worklist(request: Request) -> Response:
        desk.prefetch_open(request.state.reader)  # loaded while the reader looks for the button
        return _page("worklist.html")

    @app.get("/case")
    def case_page(case: str = "") -> Response:
        with suppress(ReviewError):  # no such case: the page says so when it asks for it
            desk.prefetch(case)
        return _page("case.html")

    @app.get("/three")
    def three() -> Response:
        return _page("three.html")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        path = STATIC / name
        if path.parent != STATIC or path.suffix not in _TYPES or not path.is_file():
            return PlainTextResponse("There is no such file.", 404)
        return FileResponse(path, media_type=_TYPES[path.suffix])

    @app.get("/viewer/niivue.umd.js")
    def viewer() -> Response:
        path = installed_viewer()
        if path is None:
            return PlainTextResponse("The 3-D viewer is not installed.", 404)
        return FileResponse(path, media_type="text/javascript")


def _page(name: str) -> Response:
    return FileResponse(STATIC / name, media_type="text/html")


async def _said(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, ConflictError) else 422)


async def _not_understood(request: Request, error: Exception) -> Response:
    """Says which key is wrong, and not what came: it may hold what a reader wrote."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    keys = ", ".join(".".join(str(part) for part in item["loc"][1:]) for item in found[:3])
    return JSONResponse({"error": f"the server does not understand this request ({keys})"}, 422)


async def _disk_trouble(request: Request, error: Exception) -> Response:
    reason = error.strerror if isinstance(error, OSError) else None
    return JSONResponse({"error": f"nothing was saved: {reason or 'the disk cannot be written'}"}, 507)
